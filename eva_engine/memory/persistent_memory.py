"""Memory that one GPU needs from step to step: weights, gradients, optimizer state; replicated or sharded."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from omegaconf import DictConfig
from torch import nn

from eva_engine.backbones import transformer_blocks

from .optimizer_state import StateBytes, tensor_bytes


@dataclass(frozen=True)
class PersistentMemory:
    """Bytes on one GPU in addition to activations.

    Attributes:
        weights, optimizer, average: This process's part of the weights, the optimizer state and the moving average.
        gradients: Gradients that exist during the whole step.
        fresh_gradients: Gradients that the backward pass makes and the optimizer step consumes.
        buckets: DDP's communication buffers.
        forward, backward: What FSDP gathers at a time in these passes: the parameters outside of blocks, which stay
            gathered, one block and the next one; in the backward pass also the gradients of the former and of two
            blocks.
        step: Temporary memory of the optimizer step.
        host: Bytes in the memory of the CPU, with offload.
        extra_modules: Modules that the step runs in addition to the model; they are replicated in each process.
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
    extra_modules: int = 0

    @property
    def total(self) -> int:
        """Memory that is in use at every moment of a step."""
        return self.weights + self.optimizer + self.average + self.gradients + self.buckets + self.extra_modules


def persistent_memory(
    cfg: DictConfig, model: nn.Module, state: StateBytes, num_ranks: int, extra_modules: Iterable[nn.Module] = ()
) -> PersistentMemory:
    """Compute the persistent memory of one of `num_ranks` processes.

    Args:
        cfg: The recipe.
        model: The unsharded model, on the meta device.
        state: Its unsharded bytes.
        num_ranks: Number of processes.
        extra_modules: Modules that the step runs in addition to the model.
    """
    if cfg.train.parallel == "fsdp":
        memory = _fsdp(cfg, model, state, num_ranks)
    else:
        memory = _ddp(cfg, state, num_ranks)
    extra_bytes = sum(_sum({*module.parameters(), *module.buffers()}) for module in extra_modules)
    return replace(memory, extra_modules=extra_bytes)


def _ddp(cfg: DictConfig, state: StateBytes, num_ranks: int) -> PersistentMemory:
    several = num_ranks > 1
    # Gradients of earlier micro-batches are kept until the last one; as views of the buckets they always exist.
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
    blocks = transformer_blocks(model)
    in_blocks: set[nn.Parameter] = set()
    gathered, trained = [0], [0]  # numbers of each block; the 0 is for a model without blocks
    for block in blocks:
        in_blocks.update(block.parameters())
        gathered.append(_count(block.parameters()))
        trained.append(_count(_trained(block.parameters())))
    rest = [parameter for parameter in model.parameters() if parameter not in in_blocks]
    low_bytes = 2 if cfg.train.amp.enabled else 4  # of a gathered number
    root = _sum(rest)
    root_gradients = _sum(_trained(rest))
    if cfg.train.fsdp.reshard_after_forward:
        at_once = 2 * max(gathered)  # the block that is computed, and the next one, which is gathered meanwhile
    else:
        at_once = sum(gathered)
    # In the backward pass: the gradients of one block in its own dtype, and in float32 while they are reduced.
    leaving = max(trained) * (low_bytes + 4)

    buffers = _sum(model.buffers())
    weights = _shards(model.parameters(), num_ranks)
    gradients = _shards(_trained(model.parameters()), num_ranks)
    sharded_fraction = gradients / max(state.gradients, 1)
    optimizer, step = round(state.optimizer * sharded_fraction), round(state.step * sharded_fraction)
    average = weights if cfg.train.ema.enabled else 0
    common = {"forward": root + at_once * low_bytes}
    common["backward"] = root + root_gradients + at_once * low_bytes + leaving
    if cfg.train.fsdp.cpu_offload:
        host = weights + gradients + optimizer + average + step
        return PersistentMemory(weights=buffers, optimizer=0, average=0, host=host, **common)
    # The sharded gradients of earlier micro-batches are kept until the last one.
    kept = {"gradients" if cfg.train.accumulation_steps > 1 else "fresh_gradients": gradients}
    return PersistentMemory(buffers + weights, optimizer, average, step=step, **kept, **common)


def _shards(parameters: Iterable[torch.Tensor], num_ranks: int) -> int:
    """Return the bytes of the largest shard.

    FSDP2 shards each parameter along its first dimension, in equal parts except the last; single numbers stay whole.
    """
    total = 0
    for p in parameters:
        if p.ndim == 0:
            total += tensor_bytes(p)
        else:
            bytes_of_row = tensor_bytes(p) // max(len(p), 1)
            total += math.ceil(len(p) / num_ranks) * bytes_of_row
    return total


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _count(parameters: Iterable[torch.Tensor]) -> int:
    return sum(p.numel() for p in parameters)


def _sum(tensors: Iterable[torch.Tensor]) -> int:
    return sum(map(tensor_bytes, tensors))
