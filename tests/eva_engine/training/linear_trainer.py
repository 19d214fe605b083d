"""A model small enough to calculate by hand, synthetic batches for it, and its trainer."""

import torch
from omegaconf import OmegaConf
from torch import nn

from eva_engine.training.precision import Precision
from eva_engine.training.trainer import Trainer


class Model(nn.Module):
    """Mean squared distance of a linear layer's output from a target, in two losses."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, batch):
        inputs = torch.stack([record["image"] for record in batch])
        error = (self.layer(inputs).float() - 1) ** 2
        factor = torch.tensor([record.get("factor", 1.0) for record in batch])[:, None]
        return {"loss_a": (error[:, :1] * factor).mean(), "loss_b": error[:, 1:].mean()}


def batches(num_iterations, num_images=4, bad=()):
    generator = torch.Generator().manual_seed(1)
    return [
        [
            {
                "image": torch.randn(4, generator=generator),
                "file_name": f"{i}_{j}.jpg",
                "factor": float("nan") if i in bad and j == 2 else 1.0,
            }
            for j in range(num_images)
        ]
        for i in range(num_iterations)
    ]


def make_trainer(data, dtype=None, lr=0.1, **keywords):
    model = Model()
    amp = OmegaConf.create({"enabled": dtype is not None, "dtype": dtype or "float16"})
    precision = Precision(amp, "cpu")
    # The default initial scale is too large, so that steps would be left out.
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=dtype == "float16")
    return Trainer(model, data, torch.optim.SGD(model.parameters(), lr=lr), precision, **keywords)


def weights(trainer):
    return nn.utils.parameters_to_vector(trainer.model.parameters()).detach()
