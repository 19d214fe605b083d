"""Bytes that stay from step to step, and those of the optimizer's own step: found on the meta device."""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import nn

from eva_engine.training.optimization import build_optimizer

from .tracker import LiveBytes


@dataclass(frozen=True)
class StateBytes:
    """Of a whole model, unsharded.

    Attributes:
        weights: parameters and buffers.
        gradients: of the parameters that are trained.
        optimizer: state after the first step.
        step: what one step of the optimizer holds only while it runs.
    """

    weights: int
    gradients: int
    optimizer: int
    step: int


def state_bytes(cfg: DictConfig, model: nn.Module) -> StateBytes:
    """State of `model`, which is on the meta device, and of the optimizer of `cfg`, which is stepped there."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    optimizer = build_optimizer(cfg, model)
    fused = all(group.get("fused") for group in optimizer.param_groups)
    for group in optimizer.param_groups:
        if group.get("fused"):  # a kernel that the meta device does not have; it holds nothing while it runs
            group.update(fused=False, foreach=False)
    if str(cfg.train.device).startswith("cuda"):
        # What PyTorch itself chooses for CUDA: whole groups at a time, with copies of a group.
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
    """Bytes of its elements, without those of other tensors in the same storage."""
    return tensor.numel() * tensor.element_size()
