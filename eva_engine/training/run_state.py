"""Everything that a run needs to go on exactly where it was."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from eva_backbone.errors import InputError
from eva_engine.checkpoint import read_file

from .random_state import get_random_state, set_random_state
from .trainer import Trainer

logger = logging.getLogger(__name__)


class RunState:
    """Weights, moving average, optimizer, loss scale, random state and position of a run, to and from plain values.

    Tensors are keyed by parameter names, so the state does not depend on how many processes hold it. The position in
    the data and the learning rate follow from the iteration.

    Args:
        model: the model itself, not a wrapper.
        trainer: its trainer.
        seed: of the run.
        lora: settings of the low-rank layers in the model, {} for none; whoever reads the weights needs them.
    """

    def __init__(self, model: nn.Module, trainer: Trainer, seed: int, lora: Mapping[str, Any] | None = None) -> None:
        self.model = model
        self.trainer = trainer
        self.seed = seed
        self.lora = OmegaConf.to_container(lora) if OmegaConf.is_config(lora) else dict(lora or {})

    def state_dict(self) -> dict[str, Any]:
        """The state after the last finished iteration. Collective: every process calls it, all get the same."""
        model, optimizer = get_state_dict(self.model, self.trainer.optimizer)
        state = {
            "model": model,
            "optimizer": optimizer,
            "scaler": self.trainer.precision.scaler.state_dict(),
            "iteration": self.trainer.num_finished - 1,
            "seed": self.seed,
            "random": {str(rank): s for rank, s in enumerate(comm.all_gather(self._random_state()))},
            "non_finite": self.trainer.non_finite.state_dict(),
        }
        if self.trainer.ema is not None:
            state["ema"] = self.trainer.ema.module.state_dict()
        if self.lora:
            state["lora"] = self.lora
        return state

    def _random_state(self) -> dict[str, Any]:
        return self.trainer.random_state or get_random_state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore all but the weights (`model`) of a file, which are loaded when the model is built.

        Those of a folder were read into the model's shares; its buffers, which are not split, are restored here.

        Settings of the optimizer (learning rate, weight decay, ...) stay those of the recipe.

        Raises:
            InputError: the state is of a run with another recipe.
        """
        optimizer, trainer = self.trainer.optimizer, self.trainer
        settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        # A file holds whole tensors, which a split model takes its shares of; a folder was read into shares already.
        split = any(isinstance(parameter, DTensor) for parameter in self.model.parameters())
        whole = not any(isinstance(value, DTensor) for value in state["model"].values())
        options = StateDictOptions(full_state_dict=split and whole)
        try:
            if not whole:
                buffers = {n: value for n, value in state["model"].items() if not isinstance(value, DTensor)}
                self.model.load_state_dict(buffers, strict=False)
            groups = state["optimizer"]["param_groups"]
            # They stay empty where there was no gradient.
            moments: dict[str, Any] = {name: {} for group in groups for name in group["params"]}
            moments |= _shaped_like(self.model, state["optimizer"]["state"])
            set_optimizer_state_dict(self.model, optimizer, {**state["optimizer"], "state": moments}, options=options)
            if trainer.ema is not None:
                averages = _shaped_like(trainer.ema.module, {n: {"": value} for n, value in state["ema"].items()})
                averages = {name: value[""] for name, value in averages.items()}
                set_model_state_dict(trainer.ema.module, averages, options=options)
            if trainer.precision.scaler.is_enabled():
                trainer.precision.scaler.load_state_dict(state["scaler"])
            trainer.non_finite.load_state_dict(state["non_finite"])
        except torch.OutOfMemoryError:  # a RuntimeError too
            raise
        except (KeyError, ValueError, AttributeError, TypeError, RuntimeError) as error:
            raise InputError(
                f"the checkpoint does not fit this run ({error}); resume with the config that wrote it, or give it as "
                "train.init_checkpoint of a new run"
            ) from error
        for group, own in zip(optimizer.param_groups, settings, strict=True):
            group.update(own)
        own_random = state["random"].get(str(comm.get_rank()))
        if own_random is None or len(state["random"]) != comm.get_world_size():
            logger.warning(
                "The run goes on with %d processes instead of %d: the same data, other random numbers",
                comm.get_world_size(),
                len(state["random"]),
            )
        if own_random is not None:
            set_random_state(own_random)


def read_state(path: Path) -> dict[str, Any]:
    """The state in the checkpoint `path` of a run.

    Raises:
        InputError: an unreadable file, or one of something else than a run of this package.
    """
    state = read_file(path)
    entries = ("model", "optimizer", "scaler", "iteration", "seed", "random", "non_finite")
    missing = [name for name in entries if name not in state]
    if missing:
        raise InputError(
            f"{path} is no checkpoint that a run can go on from, it has no entry {', '.join(missing)}; give it as "
            "train.init_checkpoint of a new run in another train.output_dir"
        )
    return dict(state)


def _shaped_like(model: nn.Module, state: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`state`, by names of parameters, where a single number has as many dimensions as in `model`.

    A split model has one more than a whole one, see `parallelize`. The count of steps never has any.
    """
    shapes = {name: parameter.shape for name, parameter in model.named_parameters() if parameter.numel() == 1}
    return {
        name: {
            key: value.reshape(shapes[name]) if isinstance(value, Tensor) and key != "step" else value
            for key, value in values.items()
        }
        if name in shapes
        else values
        for name, values in state.items()
    }
