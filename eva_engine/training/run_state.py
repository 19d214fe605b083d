"""State of a run: everything that is needed to resume it exactly."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

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
from eva_engine.safe_text import printable

from .random_state import get_random_state, set_random_state
from .trainer import Trainer

logger = logging.getLogger(__name__)

_MAX_STEPS = 10**10
# Entries of a state: the limits of numbers, None for mappings. NumPy's seeds have 32 bits.
_ENTRIES: dict[str, tuple[int, int] | None] = {
    "model": None,
    "optimizer": None,
    "scaler": None,
    "iteration": (0, _MAX_STEPS),
    "seed": (0, 2**32 - 1),
    "random": None,
    "non_finite": None,
}
_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")  # of the shape of their parameter


class HasState(Protocol):
    """A part of a run with a state of plain values and tensors."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Restore a state."""


class RunState:
    """Save and restore weights, moving average, optimizer, loss scale, random state, iteration and `parts` of a run.

    The state consists of plain values. Tensors are keyed by parameter name, so it does not depend on the number of
    processes. The position in the training data and the learning rate are functions of the iteration.

    Args:
        model: The model itself, without a DDP wrapper.
        trainer: Trainer of the model.
        seed: Seed of the run.
        lora: Settings of the low-rank adapters in the model, which readers of the weights need; empty for none.
        parts: Further objects with a state, by the name of their entry; checkpoints may lack it.
    """

    def __init__(
        self,
        model: nn.Module,
        trainer: Trainer,
        seed: int,
        lora: Mapping[str, Any] | None = None,
        parts: Mapping[str, HasState] | None = None,
    ) -> None:
        self.model = model
        self.trainer = trainer
        self.seed = seed
        self.parts = parts or {}
        self.lora = OmegaConf.to_container(lora) if OmegaConf.is_config(lora) else dict(lora or {})

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the last finished iteration. Collective: all processes call it and get the same."""
        model, optimizer = get_state_dict(self.model, self.trainer.optimizer)
        random_states = comm.all_gather(self.trainer.random_state or get_random_state())
        state = {
            "model": model,
            "optimizer": optimizer,
            "scaler": self.trainer.precision.scaler.state_dict(),
            "iteration": self.trainer.num_finished - 1,
            "seed": self.seed,
            "random": {str(rank): random_state for rank, random_state in enumerate(random_states)},
            "non_finite": self.trainer.non_finite.state_dict(),
        }
        if self.trainer.ema is not None:
            state["ema"] = self.trainer.ema.module.state_dict()
        if self.lora:
            state["lora"] = self.lora
        state |= {name: part.state_dict() for name, part in self.parts.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state, without the weights of a checkpoint file: they are loaded when the model is built.

        The weights of a sharded checkpoint were read into the parameters in place. Its buffers, which are not sharded,
        are restored here.

        Settings of the optimizer (learning rate, weight decay, ...) remain those of the recipe.

        Raises:
            InputError: The state belongs to a run with another recipe.
        """
        try:
            self._restore(state)
        except torch.OutOfMemoryError:  # a subclass of RuntimeError, but not a problem of the checkpoint
            raise
        except Exception as error:  # torch raises nearly any exception for a state of another form
            raise InputError(
                f"the checkpoint does not fit this run ({type(error).__name__}: {printable(error, 150)}); resume with "
                "the config that wrote it, or give it as train.init_checkpoint of a new run"
            ) from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        trainer = self.trainer
        sharded_model = any(isinstance(parameter, DTensor) for parameter in self.model.parameters())
        sharded_state = any(isinstance(value, DTensor) for value in state["model"].values())
        # With this option each process takes its shards out of full tensors.
        options = StateDictOptions(full_state_dict=sharded_model and not sharded_state)
        if sharded_state:
            buffers = {name: value for name, value in state["model"].items() if not isinstance(value, DTensor)}
            self.model.load_state_dict(buffers, strict=False)
        self._restore_optimizer(state["optimizer"], options)
        if trainer.ema is not None:
            # The same form as an optimizer's state: several values for each parameter, here a single one.
            values_of = {name: {"": value} for name, value in state["ema"].items()}
            values_of = _match_scalar_shapes(trainer.ema.module, values_of)
            averages = {name: values[""] for name, values in values_of.items()}
            set_model_state_dict(trainer.ema.module, averages, options=options)
        if trainer.precision.scaler.is_enabled():
            trainer.precision.scaler.load_state_dict(state["scaler"])
        trainer.non_finite.load_state_dict(state["non_finite"])
        for name, part in self.parts.items():
            if name in state:
                part.load_state_dict(state[name])
        self._restore_random_state(state["random"])

    def _restore_optimizer(self, state: Mapping[str, Any], options: StateDictOptions) -> None:
        optimizer = self.trainer.optimizer
        settings_of_recipe = []
        for group in optimizer.param_groups:
            settings_of_recipe.append({key: value for key, value in group.items() if key != "params"})
        # A parameter that never had a gradient has no moments in the checkpoint, but needs an entry here.
        moments: dict[str, Any] = {}
        for group in state["param_groups"]:
            for name in group["params"]:
                moments[name] = {}
        moments |= _match_scalar_shapes(self.model, state["state"])
        set_optimizer_state_dict(self.model, optimizer, {**state, "state": moments}, options=options)
        for group, settings in zip(optimizer.param_groups, settings_of_recipe, strict=True):
            group.update(settings)
        for parameter, values in optimizer.state.items():
            for key, value in values.items():
                if key in _MOMENTS and value.shape != parameter.shape:
                    raise ValueError(f"{key} has shape {[*value.shape]} for a parameter of {[*parameter.shape]}")
                if key == "step" and not 0 <= float(value) <= _MAX_STEPS:
                    raise ValueError(f"the optimizer has done {value} steps")

    def _restore_random_state(self, states: Mapping[str, Any]) -> None:
        own_state = states.get(str(comm.get_rank()))
        if own_state is None or len(states) != comm.get_world_size():
            logger.warning(
                "The run is resumed with %d processes instead of %d: the data stays the same, random numbers differ",
                comm.get_world_size(),
                len(states),
            )
        if own_state is not None:
            set_random_state(own_state)


def read_state(path: Path) -> dict[str, Any]:
    """Read the state in the checkpoint `path` of a run.

    Raises:
        InputError: The file is unreadable, or not a checkpoint of a run of this package.
    """
    state = read_file(path)
    return check_state(state if isinstance(state, Mapping) else {}, path)


def check_state(state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the state of a run that was read from `path`.

    Raises:
        InputError: An entry is missing or not of its type, or a number out of range.
    """
    missing = [name for name in _ENTRIES if name not in state]
    if missing:
        raise InputError(
            f"{path} is not a checkpoint that a run can be resumed from, it has no entry {', '.join(missing)}; give it "
            "as train.init_checkpoint of a new run in another train.output_dir"
        )
    for name in _ENTRIES:
        check_entry(state, name, path)
    for name, value in state["model"].items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"{path} cannot be resumed from, its {printable(name, 150)} is not a tensor; use another one"
            )
    for key, value in [*state["scaler"].items(), *state["non_finite"].items()]:
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise InputError(f"{path} cannot be resumed from, its {key} is {printable(value, 40)}; use another one")
    return dict(state)


def check_entry(state: Mapping[str, Any], name: str, path: Path) -> Any:
    """Return one entry of a state that was read from `path`; raise InputError if no run writes such a value."""
    value, limits = state.get(name), _ENTRIES[name]
    if limits is None:
        fits = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    else:
        fits = type(value) is int and limits[0] <= value <= limits[1]
    if not fits:
        raise InputError(
            f"{path} cannot be resumed from, its entry {name} is {printable(value, 40)}, which no run writes; resume "
            "from another checkpoint"
        )
    return value


def _match_scalar_shapes(model: nn.Module, state: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Reshape the values of single-number parameters to the shape in `model`.

    `parallelize` gives such parameters one dimension in a sharded model, where an unsharded one has none. The
    optimizer's count of steps never has a dimension.

    Args:
        model: The model that the state is for.
        state: Values by name of the parameter, then by key.
    """
    shapes = {name: parameter.shape for name, parameter in model.named_parameters() if parameter.numel() == 1}
    matched: dict[str, dict[str, Any]] = {}
    for name, values in state.items():
        matched[name] = dict(values)
        if name not in shapes:
            continue
        for key, value in values.items():
            if isinstance(value, Tensor) and key != "step":
                matched[name][key] = value.reshape(shapes[name])
    return matched
