"""What one GPU holds of weights, gradients and optimizer state: copies of the model (DDP), or its parts (FSDP2)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from omegaconf import DictConfig
from torch import nn

from eva_backbone.block import Block

from .optimizer_state import StateBytes, tensor_bytes


@dataclass(frozen=True)
class PersistentMemory:
    """Bytes on one GPU beside activations.

    Attributes:
        weights, optimizer, average: of this rank; the average is the moving one.
        gradients: those that exist for the whole step.
        fresh_gradients: those that the backward pass makes and the optimizer step uses up.
        buckets: DDP's communication buffers.
        forward, backward: what FSDP gathers at a time in these passes: the rest of the model, which stays gathered, a
            block and the next one; in the backward pass also the gradients of the rest and of two blocks.
        step: what the optimizer's step holds only while it runs.
        host: bytes in the memory of the CPU, with offload.
        companions: modules that the step runs beside the model; each process has them whole.
    """

    weights: int
    optimizer: int
    average: int
    gradients: int = 0
    fresh_gradients: int = 0
    buckets: int = 0
    forward: int = 0
    backward: int = 0
    step: int = 0
    host: int = 0
    companions: int = 0

    @property
    def total(self) -> int:
        """What is there at every moment."""
        return self.weights + self.optimizer + self.average + self.gradients + self.buckets + self.companions


def persistent_memory(
    cfg: DictConfig, model: nn.Module, state: StateBytes, num_ranks: int, companions: Iterable[nn.Module] = ()
) -> PersistentMemory:
    """Of one of `num_ranks` processes; `model` is the whole one, on the meta device, `state` its unsharded bytes."""
    held = _fsdp(cfg, model, state, num_ranks) if cfg.train.parallel == "fsdp" else _ddp(cfg, state, num_ranks)
    return replace(held, companions=sum(_sum({*part.parameters(), *part.buffers()}) for part in companions))


def _ddp(cfg: DictConfig, state: StateBytes, num_ranks: int) -> PersistentMemory:
    several = num_ranks > 1
    # Gradients of earlier parts wait for the last one; as views of the buckets they are there from the start.
    views = several and cfg.train.ddp.get("gradient_as_bucket_view", False)
    waiting = cfg.train.accumulation_steps > 1
    return PersistentMemory(
        weights=state.weights,
        optimizer=state.optimizer,
        average=state.weights if cfg.train.ema.enabled else 0,
        gradients=state.gradients if waiting and not views else 0,
        fresh_gradients=0 if waiting or views else state.gradients,
        buckets=state.gradients if several else 0,
        step=state.step,
    )


def _fsdp(cfg: DictConfig, model: nn.Module, state: StateBytes, num_ranks: int) -> PersistentMemory:
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    in_blocks = {parameter for block in blocks for parameter in block.parameters()}
    rest = [parameter for parameter in model.parameters() if parameter not in in_blocks]
    low_bytes = 2 if cfg.train.amp.enabled else 4
    gathered = [sum(p.numel() for p in block.parameters()) for block in blocks] or [0]
    trained = [sum(p.numel() for p in block.parameters() if p.requires_grad) for block in blocks] or [0]
    root = _sum(rest)
    root_gradients = _sum(p for p in rest if p.requires_grad)
    at_once = 2 * max(gathered) if cfg.train.fsdp.reshard_after_forward else sum(gathered)
    # In the backward pass: gradients of one block as they are made, and in float32 on their way to the others.
    leaving = max(trained) * (low_bytes + 4)

    buffers = _sum(model.buffers())
    weights = _shards(model.parameters(), num_ranks)
    gradients = _shards((p for p in model.parameters() if p.requires_grad), num_ranks)
    share = gradients / max(state.gradients, 1)
    optimizer, step = round(state.optimizer * share), round(state.step * share)
    average = weights if cfg.train.ema.enabled else 0
    common = {"forward": root + at_once * low_bytes}
    common["backward"] = root + root_gradients + at_once * low_bytes + leaving
    if cfg.train.fsdp.cpu_offload:
        host = weights + gradients + optimizer + average + step
        return PersistentMemory(weights=buffers, optimizer=0, average=0, host=host, **common)
    # Shares of earlier parts' gradients wait for the last one.
    kept = {"gradients" if cfg.train.accumulation_steps > 1 else "fresh_gradients": gradients}
    return PersistentMemory(buffers + weights, optimizer, average, step=step, **kept, **common)


def _shards(parameters: Iterable[torch.Tensor], num_ranks: int) -> int:
    """FSDP2 splits each parameter along its first dimension and fills up to equal parts."""
    return sum(
        math.ceil(len(p) / num_ranks) * (tensor_bytes(p) // max(len(p), 1)) if p.ndim else tensor_bytes(p)
        for p in parameters
    )


def _sum(tensors: Iterable[torch.Tensor]) -> int:
    return sum(map(tensor_bytes, tensors))
