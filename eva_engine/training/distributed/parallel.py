"""A model over many processes: copied to each (DDP), or split among them (FSDP2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.engine import create_ddp_model
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard

from eva_backbone.block import Block
from eva_backbone.errors import InputError

from .launch import join_alone


def parallelize(model: nn.Module, train: DictConfig, *copies: nn.Module) -> nn.Module:
    """What to call in place of `model` in training; `model` itself goes on to own the parameters.

    `train.parallel` "ddp" wraps the model if there is more than one process. "fsdp" splits the parameters of `model`
    in place, one group per transformer block and one for the rest; also in a single process, so that the same
    checkpoints are written. Build the optimizer afterwards.

    Args:
        train: settings of the recipe, with `amp` and `device`.
        copies: other modules of the same structure (a moving average), split in the same way.

    Raises:
        InputError: an unknown kind.
    """
    if train.parallel == "ddp":
        keywords = dict(train.ddp)
        if not str(train.device).startswith("cuda"):
            keywords["device_ids"] = None
        return create_ddp_model(model, **keywords)
    if train.parallel != "fsdp":
        raise InputError(f'train.parallel={train.parallel} is not known; choose "ddp" or "fsdp"')
    join_alone()
    for module in (model, *copies):
        _shard(module, train)
    return model


def _shard(model: nn.Module, train: DictConfig) -> None:
    _give_scalars_a_dimension(model)
    mesh = init_device_mesh(torch.device(train.device).type, (comm.get_world_size(),))
    offload = CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda") if train.fsdp.cpu_offload else OffloadPolicy()
    # Only blocks gather in low precision: heads may be meant to run in float32, and gradients are summed in float32.
    low = MixedPrecisionPolicy(
        param_dtype=getattr(torch, train.amp.dtype) if train.amp.enabled else None, reduce_dtype=torch.float32
    )
    for module in list(model.modules()):
        if isinstance(module, Block):
            fully_shard(
                module,
                mesh=mesh,
                reshard_after_forward=train.fsdp.reshard_after_forward,
                mp_policy=low,
                offload_policy=offload,
            )
    fully_shard(model, mesh=mesh, mp_policy=MixedPrecisionPolicy(), offload_policy=offload)


def _give_scalars_a_dimension(model: nn.Module) -> None:
    """Parameters of no dimension, which cannot be split, get one; checkpoints store them so, see `match_weights`."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim == 0:
                setattr(module, name, nn.Parameter(parameter.detach().reshape(1), parameter.requires_grad))


@contextmanager
def gathered_weights(model: nn.Module, *, reshard_after_forward: bool) -> Iterator[None]:
    """While it is open, forward passes of a model that FSDP has split ask nothing of the other processes.

    They may be as many in each process as its images need. All processes enter it together; a model that is not split
    is left as it is.

    Args:
        model: in one piece, or split by `parallelize`.
        reshard_after_forward: what the blocks do in training, `train.fsdp.reshard_after_forward`.
    """
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            # The root, which holds what is in no block, stays gathered from its forward pass to its backward pass.
            part.set_reshard_after_forward(reshard_after_forward and part is not model, recurse=False)
            part.reshard()
