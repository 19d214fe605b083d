"""Advise what to change in a recipe until its training step fits a GPU."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from omegaconf import DictConfig

from eva_backbone.errors import InputError

from .planned_model import model_on_meta
from .planner import MemoryPlan, MemoryPlanner, samples_per_forward
from .synthetic_batch import SyntheticBatch, synthetic_batch

LORA_RANK = 16
_SMALLER_SIDES = (0.8, 0.6)  # fractions of the side of the images
_LEAST_GAIN = 0.01  # of the peak; a change that lowers it by less is not worth making

# Load the recipe with overrides in addition to those of the command line.
Load = Callable[[Sequence[str]], DictConfig]


@dataclass(frozen=True)
class Change:
    """One change: its cost in words, the overrides that make it, and the plan with all changes so far."""

    cost: str
    overrides: tuple[str, ...]
    plan: MemoryPlan


@dataclass(frozen=True)
class Advice:
    """Changes to make together in the order of `steps`, and alternatives for the last one."""

    fits: bool
    steps: tuple[Change, ...]
    alternatives: tuple[Change, ...]

    @property
    def overrides(self) -> list[str]:
        """The overrides of all steps."""
        return list(chain.from_iterable(step.overrides for step in self.steps))


@dataclass(frozen=True)
class _Option:
    """A change that could be made."""

    cost: str
    overrides: list[str]


# The options of one kind for a recipe, mildest first; none if the recipe has it already, or it does not apply.
_Kind = Callable[[SyntheticBatch], list[_Option]]


def advise(load: Load, planner: MemoryPlanner, limit: int) -> Advice:
    """Find changes until the peak is at most `limit` bytes, starting with those that do not change the result."""
    steps: list[Change] = []
    taken: list[str] = []
    cfg = load(taken)
    batch = synthetic_batch(cfg)
    peak = planner.plan(cfg).peak
    kinds = _kinds(batch, planner.num_ranks)

    def best_change(kind: _Kind) -> Change | None:
        options = kind(type(batch)(load(taken)))
        return _mildest_that_fits(options, taken, load, planner, limit)

    for number, kind in enumerate(kinds):
        change = best_change(kind)
        if change is None or change.plan.peak > (1 - _LEAST_GAIN) * peak:
            continue
        steps.append(change)
        if change.plan.peak <= limit:
            alternatives = []
            for other_kind in kinds[number + 1 :]:
                other = best_change(other_kind)
                if other is not None and other.plan.peak <= limit:
                    alternatives.append(other)
            return Advice(True, tuple(steps), tuple(alternatives))
        taken += change.overrides
        peak = change.plan.peak
    return Advice(False, tuple(steps), ())


def _kinds(batch: SyntheticBatch, num_ranks: int) -> list[_Kind]:
    """Return all kinds of changes, in the order in which they are tried."""

    def micro_batches(batch: SyntheticBatch) -> list[_Option]:
        cost = f"{batch.micro_batch_effect or 'same result'}, more time per iteration"
        numbers = _accumulation_steps(batch.cfg, num_ranks)
        return [_Option(cost, [f"train.accumulation_steps={number}"]) for number in numbers]

    kinds: list[_Kind] = []
    if not batch.micro_batch_effect:
        kinds.append(micro_batches)
    kinds.append(_activation_checkpointing)
    if num_ranks > 1:
        kinds.append(_sharding)
    kinds += [_low_precision, _offload, _no_average]
    if batch.micro_batch_effect:
        kinds.append(micro_batches)
    return [*kinds, _smaller_images, _lora, _freezing]


def _mildest_that_fits(
    options: list[_Option], taken: list[str], load: Load, planner: MemoryPlanner, limit: int
) -> Change | None:
    """Return the mildest option that fits, else the strongest; None if there is none."""
    if not options:
        return None
    strongest = _try(options[-1], taken, load, planner)
    if strongest is None or strongest.plan.peak > limit:
        return strongest
    for option in options[:-1]:
        change = _try(option, taken, load, planner)
        if change is not None and change.plan.peak <= limit:
            return change
    return strongest


def _try(option: _Option, taken: list[str], load: Load, planner: MemoryPlanner) -> Change | None:
    try:
        plan = planner.plan(load([*taken, *option.overrides]))
    except InputError:  # a library that is not installed, or nothing of that name in the model
        return None
    return Change(option.cost, tuple(option.overrides), plan)


def _accumulation_steps(cfg: DictConfig, num_ranks: int) -> list[int]:
    """Larger numbers of micro-batches than now, into which the samples of a GPU can be split."""
    now = cfg.train.accumulation_steps
    num_samples = samples_per_forward(cfg, num_ranks) * now
    return [number for number in range(now + 1, num_samples + 1) if num_samples % number == 0]


def _activation_checkpointing(batch: SyntheticBatch) -> list[_Option]:
    model = model_on_meta(batch.cfg)
    flags = [module.checkpoint_blocks for module in model.modules() if hasattr(module, "checkpoint_blocks")]
    if batch.cfg.train.activation_checkpointing or (flags and all(flags)):
        return []
    return [_Option("same result, about a third more time", batch.checkpointing_overrides)]


def _sharding(batch: SyntheticBatch) -> list[_Option]:
    if batch.cfg.train.parallel == "fsdp":
        return []
    return [_Option("same result", ["train.parallel=fsdp"])]


def _low_precision(batch: SyntheticBatch) -> list[_Option]:
    if batch.cfg.train.amp.enabled:
        return []
    return [_Option("forward pass in bfloat16", ["train.amp.enabled=True", "train.amp.dtype=bfloat16"])]


def _offload(batch: SyntheticBatch) -> list[_Option]:
    train = batch.cfg.train
    if train.parallel == "fsdp" and train.fsdp.cpu_offload:
        return []
    cost = "same result; weights and optimizer in the memory of the CPU, slower"
    return [_Option(cost, ["train.parallel=fsdp", "train.fsdp.cpu_offload=True"])]


def _no_average(batch: SyntheticBatch) -> list[_Option]:
    if not batch.cfg.train.ema.enabled:
        return []
    return [_Option("no moving average", ["train.ema.enabled=False"])]


def _smaller_images(batch: SyntheticBatch) -> list[_Option]:
    options = []
    for factor in _SMALLER_SIDES:
        side = round(batch.side * factor / batch.side_multiple) * batch.side_multiple
        overrides = batch.resolution_overrides(side)
        if overrides:
            options.append(_Option(f"images of {side} pixels", overrides))
    return options


def _lora(batch: SyntheticBatch) -> list[_Option]:
    if batch.cfg.train.lora.rank > 0 or not batch.backbone_patterns:
        return []
    return [_Option("the backbone learns low-rank updates only", [f"train.lora.rank={LORA_RANK}"])]


def _freezing(batch: SyntheticBatch) -> list[_Option]:
    if set(batch.backbone_patterns) <= set(batch.cfg.train.freeze):
        return []
    patterns = ",".join(f'"{pattern}"' for pattern in batch.backbone_patterns)
    return [_Option("the backbone is not trained", [f"train.freeze=[{patterns}]"])]
