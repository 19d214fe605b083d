"""Bytes of weights, gradients and optimizer state, and of the optimizer step, measured on the meta device."""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import nn

from eva_engine.training.optimization import build_optimizer

from .tracker import LiveBytes


@dataclass(frozen=True)
class StateBytes:
    """Bytes of an unsharded model.

    Attributes:
        weights: Parameters and buffers.
        gradients: Gradients of the trained parameters.
        optimizer: Optimizer state after the first step.
        step: Temporary memory of one optimizer step.
    """

    weights: int
    gradients: int
    optimizer: int
    step: int


def state_bytes(cfg: DictConfig, model: nn.Module) -> StateBytes:
    """Measure the state of `model`, on the meta device, and of the optimizer of `cfg`, by stepping it there."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    optimizer = build_optimizer(cfg, model)
    fused = all(group.get("fused") for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        if group.get("fused"):  # the meta device lacks this kernel, which needs no temporary memory
            group.update(fused=False, foreach=False)
    if str(cfg.train.device).startswith("cuda"):
        # PyTorch's default on CUDA: whole groups at a time, with temporary copies of a group.
        for group in optimizer.param_groups:
            if group.get("foreach", False) is None:
                group["foreach"] = True
    existing = [*model.parameters(), *model.buffers(), *(p.grad for p in trained if p.grad is not None)]
    tracker = LiveBytes(ignored=existing)
    with tracker:
        optimizer.step()
        state = tracker.live
        tracker.start_peak()
        optimizer.step()
    return StateBytes(
        weights=sum(map(tensor_bytes, {*model.parameters(), *model.buffers()})),
        gradients=sum(map(tensor_bytes, trained)),
        optimizer=state,
        step=0 if fused else tracker.peak - state,
    )


def tensor_bytes(tensor: torch.Tensor) -> int:
    """Return the bytes of the elements of a tensor, without those of other tensors in the same storage."""
    return tensor.numel() * tensor.element_size()
