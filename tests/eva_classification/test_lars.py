"""LARS, in addition to its golden case: zero gradients, missing gradients, its state, and agreement with timm's."""

import io

import torch
from timm.optim import Lars
from torch import nn

from eva_classification.lars import LARS


def test_matrix_without_gradient_or_weights_takes_the_plain_step():
    zero_gradient = nn.Parameter(torch.ones(2, 2))
    zero_weights = nn.Parameter(torch.zeros(2, 2))
    unused = nn.Parameter(torch.ones(2, 2))
    optimizer = LARS([zero_gradient, zero_weights, unused], lr=0.5)
    zero_gradient.grad, zero_weights.grad = torch.zeros(2, 2), torch.ones(2, 2)
    optimizer.step()
    assert zero_gradient.tolist() == [[1, 1], [1, 1]]
    assert zero_weights.tolist() == [[-0.5, -0.5], [-0.5, -0.5]]
    assert unused not in optimizer.state


def test_without_weight_decay_matrices_move_as_with_timm():
    ours = nn.Parameter(torch.randn(6, 4))
    theirs = nn.Parameter(ours.detach().clone())
    optimizers = [LARS([ours], lr=0.3), Lars([theirs], lr=0.3, momentum=0.9, always_adapt=True)]
    for _ in range(5):
        ours.grad = torch.randn(6, 4)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_training_continues_from_saved_state():
    parameter = nn.Parameter(torch.ones(3, 2))
    optimizer = LARS([parameter], lr=0.1, weight_decay=0.01)
    target = torch.arange(6.0).view(3, 2)

    def closure():
        optimizer.zero_grad()
        loss = (parameter - target).square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    saved = parameter.detach().clone()
    assert optimizer.step(closure) < first
    expected = parameter.detach().clone()

    parameter.data.copy_(saved)
    optimizer = LARS([parameter], lr=7.0)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, weights_only=True))
    assert optimizer.step(closure).item() == (saved - target).square().sum().item()
    assert torch.equal(parameter, expected)
