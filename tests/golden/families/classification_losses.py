"""Losses of the classifier and the gradient of every parameter."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from timm.data.mixup import mixup_target
from torch import nn

from eva_engine.training.adaptation import freeze_parameters

from ..case import GoldenCase, family
from .classification_backbone import build_classifier, draw_entries

MIXED_SMOOTHING = 0.1


def assert_gradients(model: nn.Module, expected: Mapping[str, list[float] | None]) -> None:
    """Assert the L2 norm and the sum of the gradient of every parameter, or that it has no gradient."""
    assert {name for name, _ in model.named_parameters()} == set(expected)
    for name, parameter in model.named_parameters():
        if expected[name] is None:
            assert parameter.grad is None, name
            continue
        gradient = parameter.grad.double()
        norm, total = expected[name]
        assert gradient.norm().item() == pytest.approx(norm, rel=2e-5, abs=1e-8), name
        assert gradient.sum().item() == pytest.approx(total, rel=1e-4, abs=3e-6 + 1e-5 * norm), name


@family("train_loss_")
def check_losses(case: GoldenCase) -> None:
    spec, config = case.spec, case.spec["config"]
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    shape = (spec["batch"], 3, config["img_size"], config["img_size"])
    images = torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
    labels = torch.from_numpy(generator.integers(0, config["num_classes"], spec["batch"]))
    assert labels.equal(case.tensor("labels"))
    mixed = mixup_target(labels, config["num_classes"], spec["lam"], MIXED_SMOOTHING)
    torch.testing.assert_close(mixed, case.tensor("soft_target"), rtol=0, atol=1e-7)
    for name, gradients in spec["grads"].items():
        smoothing = float(name.removeprefix("ls")) if name.startswith("ls") else 0.0
        model = build_classifier(config, draw_entries(spec), smoothing=smoothing)
        if config.get("stop_grad_conv1"):
            freeze_parameters(model, ["patch_embed.*"])
        losses = model({"image": images, "label": mixed if name == "soft" else labels})
        loss = sum(losses.values())
        assert loss.item() == pytest.approx(case.arrays[f"loss_{name}"].item(), rel=0, abs=2e-6)
        loss.backward()
        assert_gradients(model, gradients)
        np.testing.assert_allclose(model(images).detach(), case.arrays["logits"], rtol=0, atol=1e-5)
