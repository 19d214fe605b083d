"""The losses of training on validation data."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from eva_backbone.errors import InputError
from eva_engine.compilation import uncompiled
from eva_engine.config.instantiation import instantiate
from eva_engine.config.trusted_names import import_path
from eva_engine.data import build_train_loader

from .distributed.parallel import gathered_weights
from .micro_batches import split_batch
from .monitoring.best_metric import VALIDATION
from .precision import Precision

_LOADER_OPTIONS = ("collate", "num_workers", "prefetch_factor", "pin_memory", "timeout")


def validation_dataset(cfg: DictConfig) -> DictConfig:
    """Return the config of the dataset for `train.validation_loss`.

    Raises:
        InputError: The recipe has none with annotations of the kind that training needs.
    """
    if OmegaConf.select(cfg, "dataloader.validation", default=None) is not None:
        return cfg.dataloader.validation
    train, test = (OmegaConf.select(cfg, f"dataloader.{name}.dataset", default=None) for name in ("train", "test"))
    if train is None or test is None or import_path(train.get("_target_")) != import_path(test.get("_target_")):
        raise InputError(
            "train.validation_loss=True needs validation data of the same kind as dataloader.train.dataset, which "
            "dataloader.test does not have; add it to the recipe as dataloader.validation"
        )
    return test


class ValidationLoss:
    """Compute the losses of training without gradients, on the same batches with the same random numbers each time.

    Records are mapped and collated as in training, in their order. Dropout is off, and batch norms use their running
    statistics. Neither weights nor buffers change, and the caller preserves the random state.

    Args:
        cfg: The recipe.
        model: The model, unsharded or sharded, without a DDP wrapper.
        precision: Precision of the training.
    """

    def __init__(self, cfg: DictConfig, model: nn.Module, precision: Precision) -> None:
        self.model, self.precision, self.train = model, precision, cfg.train
        settings = cfg.dataloader.train
        dataset = instantiate(validation_dataset(cfg))
        size = self._batch_size(len(dataset), settings.total_batch_size)
        self.num_batches = -(-len(dataset) // size)
        options = {name: instantiate(settings[name]) for name in _LOADER_OPTIONS if name in settings}
        self.loader = build_train_loader(
            dataset,
            mapper=instantiate(settings.mapper),
            sampler=TrainingSampler(len(dataset), shuffle=False, seed=0),
            total_batch_size=size,
            aspect_ratio_grouping=False,
            seed=0,
            **options,
        )

    def __call__(self) -> dict[str, dict[str, float]]:
        """Return {"validation": {"total_loss": ..., name: ...}}, means over all images and processes. Collective."""
        sums: dict[str, torch.Tensor] = {}
        reshard = self.train.fsdp.reshard_after_forward
        batches = iter(self.loader)
        with (
            _training_mode(self.model),
            torch.no_grad(),
            gathered_weights(self.model, reshard_after_forward=reshard),
            uncompiled(self.model),
            self.precision.autocast(),
            EventStorage(),  # models log statistics of their training
        ):
            seed_all_rng(comm.get_rank())
            for batch in islice(batches, self.num_batches):
                for micro_batch in split_batch(batch, self.train.accumulation_steps):
                    losses = self.model(micro_batch)
                    losses = {"total_loss": losses} if isinstance(losses, torch.Tensor) else losses
                    for name, value in losses.items():
                        sums[name] = sums.get(name, 0.0) + value.detach().double()
        del batches  # ends the workers
        names = sorted(sums)
        values = torch.stack([sums[name] for name in names])
        if comm.get_world_size() > 1:
            torch.distributed.all_reduce(values)
        values /= self.num_batches * self.train.accumulation_steps * comm.get_world_size()
        means = dict(zip(names, values.tolist(), strict=True))
        return {VALIDATION: {"total_loss": sum(means.values()), **means}}

    def _batch_size(self, num_records: int, largest: int) -> int:
        """Return the size of equal batches, at most `largest`, that repeat as few records as possible."""
        processes, steps = comm.get_world_size(), self.train.accumulation_steps
        if largest // processes % 2 == 0:  # mixup takes pairs
            steps = math.lcm(steps, 2)
        num_batches = -(-num_records // largest)
        return -(-num_records // (num_batches * processes * steps)) * processes * steps


@contextmanager
def _training_mode(model: nn.Module) -> Iterator[None]:
    """Set a model to training mode except for dropout and batch norms, and restore modes and buffers afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) or "Drop" in type(module).__name__:
            module.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for buffer, value in buffers:
            buffer.copy_(value)
