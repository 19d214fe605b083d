"""Compare the memory plan of a run with the memory of this machine before the model is built."""

import copy
import logging
import shlex
from collections.abc import Sequence

import torch
from detectron2.utils import comm
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.config.override_keys import apply_overrides

from . import device_memory
from .advice import Advice, advise
from .optimizer_state import state_bytes
from .persistent_memory import persistent_memory
from .planned_model import model_on_meta
from .planner import MemoryPlanner, samples_per_forward
from .synthetic_batch import SyntheticBatch, find_synthetic_batch
from .tracker import Phase

logger = logging.getLogger(__name__)

# A run with less state, and fewer pixels in a batch, fits any machine that has these packages; no plan is made.
_SMALL_STATE = 300 * 10**6
_FEW_PIXELS = 4 * 10**6


def check_memory(cfg: DictConfig) -> None:
    """Stop a run whose training step needs more memory than this machine has. Every process of the run must call this.

    Args:
        cfg: The recipe, on the device on which it will run.

    Raises:
        InputError: It needs more; the message says which changes fit.
    """
    if comm.get_local_rank() == 0:
        _check(cfg, comm.get_world_size())
    comm.synchronize()  # the others build nothing before this process has looked


def _check(cfg: DictConfig, num_ranks: int) -> None:
    try:
        if _is_small(cfg, num_ranks):
            return
        logger.info("Planning the memory of the run before it is built, which takes minutes for the largest models")
        planner = _QuickPlanner(num_ranks, report=lambda line: logger.info("Planning memory: %s", line))
        peak = planner.plan(cfg).peak
    except InputError as error:
        logger.info("The memory of this run is not known in advance: %s", error)
        return
    available, kind = available_memory(cfg)
    logger.info("Memory plan: %.1f GB per process; %.1f GB of %s are free for it", peak / 1e9, available / 1e9, kind)
    if peak <= available:
        return

    def load(more: Sequence[str]) -> DictConfig:
        return apply_overrides(copy.deepcopy(cfg), more)

    raise InputError(
        f"a training step needs {peak / 1e9:.1f} GB, but {available / 1e9:.1f} GB of {kind} are free for it; "
        f"{_changes(advise(load, planner, available))}. To try it nevertheless: train.check_memory=False"
    )


class _QuickPlanner(MemoryPlanner):
    """Measures steps with one and two samples only, and extrapolates: activations grow by the same for each sample.

    Attention on the CPU is computed in parts of bounded size, whose number grows with the batch, and with it the time
    that a plan takes.
    """

    def _measure(self, batch: SyntheticBatch, num_samples: int, ranks: int) -> list[Phase]:
        if num_samples <= 2:
            return super()._measure(batch, num_samples, ranks)
        phases = []
        for one, two in zip(super()._measure(batch, 1, ranks), super()._measure(batch, 2, ranks), strict=True):
            phases.append(
                Phase(
                    one.name,
                    one.is_backward,
                    _extrapolate(one.peak, two.peak, num_samples),
                    _extrapolate(one.peak_with_gradients, two.peak_with_gradients, num_samples),
                )
            )
        return phases


def _extrapolate(one: int, two: int, num_samples: int) -> int:
    return one + (two - one) * (num_samples - 1)


def _is_small(cfg: DictConfig, num_ranks: int) -> bool:
    model = model_on_meta(cfg)
    batch = find_synthetic_batch(cfg, model)
    state = persistent_memory(cfg, model, state_bytes(cfg, model), num_ranks, batch.extra_modules(model))
    num_pixels = samples_per_forward(cfg, num_ranks) * batch.side**2
    return state.total <= _SMALL_STATE and num_pixels <= _FEW_PIXELS


def _changes(advice: Advice) -> str:
    overrides = advice.overrides
    if not advice.fits:
        smallest = f", even {advice.steps[-1].plan.peak / 1e9:.1f} GB with {_joined(overrides)}" if overrides else ""
        return f"no change makes it fit{smallest}; use a smaller recipe, such as those in docs/howto/which_model.md"
    text = f"this fits: {_joined(overrides)}"
    if advice.alternatives:
        others = (_joined(change.overrides) for change in advice.alternatives)
        text += f", or instead of the last change {' or '.join(others)}"
    return text


def _joined(overrides: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, overrides))


def available_memory(cfg: DictConfig) -> tuple[int, str]:
    """Return the bytes that one process of this run can use, and what kind of memory they are in."""
    device = str(cfg.train.device)
    kind = "the memory (RAM) of this machine"
    if device.startswith("cuda"):
        kind = f"the memory of {torch.cuda.get_device_name(device)}"
    return device_memory.free_memory(device, comm.get_local_size()), kind
