"""Gradient accumulation: a training step on 16 images at once, and in eight micro-batches.

    python -m benchmarks.gradient_accumulation --rounds 3

The model is the base backbone at 224 pixels with a linear head, trained by AdamW in float32. Both make the same step
except for the order in which gradients are summed (tests/eva_engine/training/test_trainer.py).
"""

import argparse
from collections.abc import Callable

import torch
from detectron2.engine import SimpleTrainer
from omegaconf import OmegaConf
from torch import nn

from eva_backbone import create_backbone
from eva_engine.training.precision import Precision
from eva_engine.training.trainer import Trainer

from .harness.side_by_side import compare

NUM_IMAGES, NUM_PARTS, NUM_CLASSES = 16, 8, 100


class _Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = create_backbone("base", img_size=224)
        self.head = nn.Linear(self.backbone.embed_dim, NUM_CLASSES)

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        images, labels = batch
        return {"loss": nn.functional.cross_entropy(self.head(self.backbone(images).mean(1)), labels)}


def _parts() -> tuple[nn.Module, list, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = _Classifier()
    batch = torch.randn(NUM_IMAGES, 3, 224, 224), torch.randint(NUM_CLASSES, (NUM_IMAGES,))
    return model, [batch] * 2, torch.optim.AdamW(model.parameters(), lr=1e-4)


def at_once() -> Callable[[], object]:
    """Detectron2's trainer, the full batch at once."""
    trainer = SimpleTrainer(*_parts())
    return lambda: trainer.train(0, 1)


def in_parts() -> Callable[[], object]:
    """Our trainer, the batch in micro-batches."""
    precision = Precision(OmegaConf.create({"enabled": False, "dtype": "float16"}), "cpu")
    trainer = Trainer(*_parts(), precision, accumulation_steps=NUM_PARTS)
    return lambda: trainer.train(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    title = f"a step of {NUM_IMAGES} images, in {NUM_PARTS} parts"
    compare("benchmarks.gradient_accumulation", title, "at_once", "in_parts", rounds, against="at once")


if __name__ == "__main__":
    main()
