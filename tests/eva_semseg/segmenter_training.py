"""Training steps of tiny segmentation models, for the tests of each architecture."""

import torch

CLASSES = 5


def drawn_batch(batch, height, width):
    """Return images and labels in squares of 16 pixels, of which the first five rows are unlabelled."""
    torch.manual_seed(1)
    labels = torch.randint(CLASSES, (batch, height // 16 + 1, width // 16 + 1))
    labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :height, :width].clone()
    labels[:, :5] = 255
    return {"image": torch.randn(batch, 3, height, width), "label": labels}


def losses_and_gradients(model, batch):
    torch.manual_seed(2)
    losses = model(batch)
    sum(losses.values()).backward()
    return losses, {name: parameter.grad for name, parameter in model.named_parameters()}


def losses_of_training(model, lr, num_steps):
    """Train on one batch and return the loss of each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    batch = drawn_batch(2, 64, 64)
    seen = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = sum(model(batch).values())
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    return seen
