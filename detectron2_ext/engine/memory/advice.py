"""What to change in a recipe until its training step fits a GPU."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError

from .planned_model import model_on_meta
from .prediction import Prediction, Predictor, images_at_once
from .resolution import resolution_overrides, training_side

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
    best = predictor.predict(load(taken)).peak
    candidates = list(_candidates(predictor.num_ranks))
    for number, make in enumerate(candidates):
        change = _try(make, taken, load, predictor, limit)
        if change is None or change.prediction.peak > 0.99 * best:
            continue
        steps.append(change)
        if change.prediction.peak <= limit:
            others = [_try(other, taken, load, predictor, limit) for other in candidates[number + 1 :]]
            instead = [other for other in others if other is not None and other.prediction.peak <= limit]
            return Advice(True, tuple(steps), tuple(instead))
        taken += change.overrides
        best = change.prediction.peak
    return Advice(False, tuple(steps), ())


# Alternatives for a recipe, from the mildest on: the cost in words and the overrides.
_Alternatives = Callable[[DictConfig], list[tuple[str, list[str]]]]


def _candidates(num_ranks: int) -> Iterator[_Alternatives]:
    yield lambda cfg: [
        ("same result, more time per iteration", [f"train.accumulation_steps={number}"])
        for number in _accumulations(cfg, num_ranks)
    ]
    yield _checkpointing
    if num_ranks > 1:
        yield lambda cfg: _unless(cfg.train.parallel == "fsdp", "same result", ["train.parallel=fsdp"])
    yield lambda cfg: _unless(
        cfg.train.amp.enabled,
        "forward pass in bfloat16",
        ["train.amp.enabled=True", "train.amp.dtype=bfloat16"],
    )
    yield lambda cfg: _unless(
        cfg.train.parallel == "fsdp" and cfg.train.fsdp.cpu_offload,
        "same result; weights and optimizer in the memory of the CPU, slower",
        ["train.parallel=fsdp", "train.fsdp.cpu_offload=True"],
    )
    yield lambda cfg: _unless(not cfg.train.ema.enabled, "no moving average", ["train.ema.enabled=False"])
    yield lambda cfg: [(f"images of {side} pixels", resolution_overrides(cfg, side)) for side in _smaller(cfg)]
    yield lambda cfg: _unless(
        cfg.train.lora.rank > 0, "the backbone learns low-rank differences only", [f"train.lora.rank={_LORA_RANK}"]
    )
    yield lambda cfg: _unless(
        "backbone.net.*" in cfg.train.freeze, "the backbone learns nothing", ['train.freeze=["backbone.net.*"]']
    )


def _try(make: _Alternatives, taken: list[str], load: Load, predictor: Predictor, limit: int) -> Change | None:
    """The mildest alternative that fits, else the strongest; None if there is none."""
    alternatives = make(load(taken))
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
    """More parts than now, into which the images of a GPU can be split."""
    now = cfg.train.accumulation_steps
    images = images_at_once(cfg, num_ranks) * now
    return [number for number in range(now + 1, images + 1) if images % number == 0]


def _checkpointing(cfg: DictConfig) -> list[tuple[str, list[str]]]:
    backbones = [module for module in model_on_meta(cfg).modules() if isinstance(module, VisionTransformer)]
    done = not backbones or all(vit.checkpoint_blocks for vit in backbones) or cfg.train.activation_checkpointing != ""
    return _unless(done, "same result, about a third more time", ["train.activation_checkpointing=torch"])


def _smaller(cfg: DictConfig) -> list[int]:
    return [round(training_side(cfg) * factor / 64) * 64 for factor in _SMALLER]
