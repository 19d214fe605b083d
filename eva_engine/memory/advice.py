"""What to change in a recipe until its training step fits a GPU."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.memory.synthetic_batch import SyntheticBatch

from .planned_model import model_on_meta, synthetic_batch
from .planner import Prediction, Predictor, samples_at_once

_LORA_RANK = 16
_SMALLER = (0.8, 0.6)  # of the side of the images

# Overrides on top of the command line's -> the recipe.
Load = Callable[[Sequence[str]], DictConfig]


@dataclass(frozen=True)
class Change:
    """One thing to change: what it costs, the overrides that do it, and the prediction with all changes so far."""

    cost: str
    overrides: tuple[str, ...]
    prediction: Prediction


@dataclass(frozen=True)
class Advice:
    """`steps`, taken together in this order, and what could stand in place of the last of them."""

    fits: bool
    steps: tuple[Change, ...]
    instead: tuple[Change, ...]


def advise(load: Load, predictor: Predictor, limit: int) -> Advice:
    """Changes until the peak is at most `limit` bytes: first those with the same result, then in order of their loss.

    A change that lowers the peak by less than a hundredth is left out.
    """
    steps: list[Change] = []
    taken: list[str] = []
    cfg = load(taken)
    made = synthetic_batch(cfg)
    best = predictor.predict(cfg).peak

    def attempt(make: _Alternatives) -> Change | None:
        return _try(make(type(made)(load(taken))), taken, load, predictor, limit)

    candidates = list(_candidates(made, predictor.num_ranks))
    for number, make in enumerate(candidates):
        change = attempt(make)
        if change is None or change.prediction.peak > 0.99 * best:
            continue
        steps.append(change)
        if change.prediction.peak <= limit:
            others = [attempt(other) for other in candidates[number + 1 :]]
            instead = [other for other in others if other is not None and other.prediction.peak <= limit]
            return Advice(True, tuple(steps), tuple(instead))
        taken += change.overrides
        best = change.prediction.peak
    return Advice(False, tuple(steps), ())


# For a recipe the alternatives from the mildest on: the cost in words and the overrides.
_Alternatives = Callable[[SyntheticBatch], list[tuple[str, list[str]]]]


def _candidates(made: SyntheticBatch, num_ranks: int) -> Iterator[_Alternatives]:
    def parts(made: SyntheticBatch) -> list[tuple[str, list[str]]]:
        cost = f"{made.parts_change or 'same result'}, more time per iteration"
        return [(cost, [f"train.accumulation_steps={number}"]) for number in _accumulations(made.cfg, num_ranks)]

    if not made.parts_change:
        yield parts
    yield _recomputation
    if num_ranks > 1:
        yield lambda made: _unless(made.cfg.train.parallel == "fsdp", "same result", ["train.parallel=fsdp"])
    yield lambda made: _unless(
        made.cfg.train.amp.enabled,
        "forward pass in bfloat16",
        ["train.amp.enabled=True", "train.amp.dtype=bfloat16"],
    )
    yield lambda made: _unless(
        made.cfg.train.parallel == "fsdp" and made.cfg.train.fsdp.cpu_offload,
        "same result; weights and optimizer in the memory of the CPU, slower",
        ["train.parallel=fsdp", "train.fsdp.cpu_offload=True"],
    )
    yield lambda made: _unless(not made.cfg.train.ema.enabled, "no moving average", ["train.ema.enabled=False"])
    if made.parts_change:
        yield parts
    yield lambda made: [
        (f"images of {side} pixels", overrides)
        for side in _smaller(made)
        if (overrides := made.resolution_overrides(side))
    ]
    yield lambda made: _unless(
        made.cfg.train.lora.rank > 0 or not made.backbone_names,
        "the backbone learns low-rank differences only",
        [f"train.lora.rank={_LORA_RANK}"],
    )
    yield _freezing


def _try(
    alternatives: list[tuple[str, list[str]]], taken: list[str], load: Load, predictor: Predictor, limit: int
) -> Change | None:
    """The mildest alternative that fits, else the strongest; None if there is none."""
    change = None
    for cost, overrides in [*alternatives[-1:], *alternatives[:-1]]:
        try:
            prediction = predictor.predict(load([*taken, *overrides]))
        except InputError:  # a library that is not installed, or nothing of that name in the model
            continue
        if change is None or prediction.peak <= limit:
            change = Change(cost, tuple(overrides), prediction)
        fits_mildly = prediction.peak <= limit and overrides is not alternatives[-1][1]
        if fits_mildly or change.prediction.peak > limit:
            break
    return change


def _unless(done: bool, cost: str, overrides: list[str]) -> list[tuple[str, list[str]]]:
    return [] if done else [(cost, overrides)]


def _accumulations(cfg: DictConfig, num_ranks: int) -> list[int]:
    """More parts than now, into which the samples of a GPU can be split."""
    now = cfg.train.accumulation_steps
    samples = samples_at_once(cfg, num_ranks) * now
    return [number for number in range(now + 1, samples + 1) if samples % number == 0]


def _recomputation(made: SyntheticBatch) -> list[tuple[str, list[str]]]:
    optional = [part for part in model_on_meta(made.cfg).modules() if hasattr(part, "checkpoint_blocks")]
    done = all(part.checkpoint_blocks for part in optional)
    return _unless(done, "same result, about a third more time", made.recomputation)


def _freezing(made: SyntheticBatch) -> list[tuple[str, list[str]]]:
    patterns = ",".join(f'"{name}"' for name in made.backbone_names)
    done = set(made.backbone_names) <= set(made.cfg.train.freeze)
    return _unless(done, "the backbone learns nothing", [f"train.freeze=[{patterns}]"])


def _smaller(made: SyntheticBatch) -> list[int]:
    return [round(made.side * factor / made.side_unit) * made.side_unit for factor in _SMALLER]
