"""Training a model in several processes: replicated (DDP), or sharded among them (FSDP2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.engine import create_ddp_model
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard

from eva_backbone.errors import InputError
from eva_engine.backbones import require_backbones

from .launch import join_single_process_group


def parallelize(model: nn.Module, train: DictConfig, *copies: nn.Module) -> nn.Module:
    """Return the module to call in place of `model` in training; `model` continues to own the parameters.

    With `train.parallel` "ddp", that is a wrapper if there is more than one process. With "fsdp", the parameters of
    `model` are sharded in place, one group per transformer block and one for the rest; in a single process too, so that
    it writes the same checkpoints. Build the optimizer afterwards.

    Args:
        model: The model on its device.
        train: Settings of the recipe, with `amp` and `device`.
        copies: Other modules of the same structure (a moving average), sharded in the same way.

    Raises:
        InputError: An unknown `train.parallel`, or a model to shard that lists no transformer blocks.
    """
    if train.parallel == "ddp":
        keywords = dict(train.ddp)
        if not str(train.device).startswith("cuda"):
            keywords["device_ids"] = None
        return create_ddp_model(model, **keywords)
    if train.parallel != "fsdp":
        raise InputError(f'train.parallel={train.parallel} is not known; choose "ddp" or "fsdp"')
    join_single_process_group()
    for module in (model, *copies):
        _shard(module, train)
    return model


def _shard(model: nn.Module, train: DictConfig) -> None:
    backbones = require_backbones(model, "train.parallel=fsdp")
    _give_scalars_a_dimension(model)
    mesh = init_device_mesh(torch.device(train.device).type, (comm.get_world_size(),))
    offload = CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda") if train.fsdp.cpu_offload else OffloadPolicy()
    # Only blocks compute in low precision: heads may be meant to run in float32. Gradients are reduced in float32.
    block_dtype = getattr(torch, train.amp.dtype) if train.amp.enabled else None
    block_precision = MixedPrecisionPolicy(param_dtype=block_dtype, reduce_dtype=torch.float32)
    for _, backbone in backbones:
        for block in backbone.blocks:
            fully_shard(
                block,
                mesh=mesh,
                reshard_after_forward=train.fsdp.reshard_after_forward,
                mp_policy=block_precision,
                offload_policy=offload,
            )
    fully_shard(model, mesh=mesh, mp_policy=MixedPrecisionPolicy(), offload_policy=offload)


def _give_scalars_a_dimension(model: nn.Module) -> None:
    """Reshape 0-dimensional parameters, which FSDP cannot shard, to [1]; `match_weights` accepts both shapes."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim == 0:
                setattr(module, name, nn.Parameter(parameter.detach().reshape(1), parameter.requires_grad))


@contextmanager
def gathered_weights(model: nn.Module, *, reshard_after_forward: bool) -> Iterator[None]:
    """Keep all weights of a sharded model in every process, so that forward passes need no communication.

    Each process may then run as many forward passes as it has images. All processes must enter the context together. An
    unsharded model is not changed.

    Args:
        model: A model, sharded by `parallelize` or not.
        reshard_after_forward: Behaviour of the blocks in training, `train.fsdp.reshard_after_forward`.
    """
    sharded_modules = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in sharded_modules:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in sharded_modules:
            # The root holds all parameters outside of blocks; it stays gathered from its forward to its backward pass.
            module.set_reshard_after_forward(reshard_after_forward and module is not model, recurse=False)
            module.reshard()
