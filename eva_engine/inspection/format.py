"""Format what was found out about a weight file as lines of text."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor, nn

from eva_engine.checkpoint.load_report import shorten_names

from .compatibility import Compatibility
from .example_commands import example_commands
from .identify import Identification
from .summary import WeightFileSummary, describe_tensors
from .weight_facts import describe_model

_FEW, _MANY = 3, 12


def describe(found: Identification, entry: str = "") -> Iterator[str]:
    """Yield lines about a file's model, the recipes that accept it, and what loading it with the best would do.

    Args:
        found: What was found out.
        entry: Entry of the file that was asked for, such as "ema".
    """
    best = found.best
    known = found.same[0].model if found.same else _likely_model(found)
    yield f"  model: {describe_model(found.summary.weights, known)}"
    if found.note:
        yield f"  note: {found.note}"
    weights = found.summary.path
    if entry and best is not None:
        weights = weights.with_name(f"{weights.stem}_{entry}.pth")
        yield f"  first: python -m tools export {shlex.join(map(str, (found.summary.path, weights, '--entry', entry)))}"
    if found.same:
        yield from _describe_recipes("config", found.same, weights)
    starts = _starts_to_show(found)
    if starts:
        yield from _describe_recipes("start of training with", starts, weights)
    for use in found.other_uses:
        yield f"  {use.purpose}: {use.command}"
    if best is not None:
        yield f"  loaded with {best.recipe.path}:"
        yield from (f"    {line}" for line in [best.report.summary(), *best.report.details()])
    elif not found.other_uses:
        yield from _describe_difference(found)


def describe_summary(summary: WeightFileSummary) -> Iterator[str]:
    """Yield lines about the file itself: its kind, its size, its entries."""
    yield f"{summary.path}: {summary.kind}, {summary.num_bytes:,} bytes"
    for name, content in list(summary.entries.items())[:_MANY]:
        yield f"  entry {name}: {content}" if name else f"  at the top level: {content}"
    if len(summary.entries) > _MANY:
        yield f"  and {len(summary.entries) - _MANY:,} more entries"
    merged = f", low-rank layers of rank {summary.lora_rank} merged" if summary.lora_rank else ""
    yield f"  weights: {describe_tensors(summary.weights)}{merged}"


def describe_names(summary: WeightFileSummary) -> Iterator[str]:
    """Yield a line for every weight: its name, shape and type."""
    for name, value in summary.weights.items():
        yield f"    {name} {_shape(value)} {str(value.dtype).removeprefix('torch.')}"


def _likely_model(found: Identification) -> nn.Module | None:
    """Return the model of the nearest recipe if it differs so little that the task must be the same."""
    nearest = found.nearest
    if nearest is not None and nearest.coverage > 0.95:
        return nearest.model
    return None


def _starts_to_show(found: Identification) -> Sequence[Compatibility]:
    named = [start for start in found.starts if start.recipe.starts_from(found.summary.path)]
    if named or found.same:
        return named
    return found.starts[:_FEW]


def _describe_recipes(title: str, recipes: Sequence[Compatibility], weights: Path) -> Iterator[str]:
    best, *others = recipes
    yield f"  {title}: {best.recipe.path} ({_remark(best)})"
    for verb, command in example_commands(best, weights):
        yield f"    {verb}: {command}"
    for other in others[:_MANY]:
        yield f"    or {other.recipe.path} ({_remark(other)})"
    if len(others) > _MANY:
        yield f"    or {len(others) - _MANY} more"


def _remark(found: Compatibility) -> str:
    if found.is_exact:
        return "exactly this model"
    report = found.report
    counts = {
        "used": report.used,
        "resized": report.resized,
        "skipped": report.skipped,
        "missing": report.missing,
        "unused": report.unused,
    }
    return ", ".join(f"{len(names)} {word}" for word, names in counts.items() if names)


def _describe_difference(found: Identification) -> Iterator[str]:
    nearest = found.nearest
    if nearest is None or not nearest.num_common:
        yield "  config: no recipe's model has such entries"
        if nearest is not None:
            yield f"    {nearest.problem}"
        return
    yield f"  config: no recipe has this model; nearest is {nearest.recipe.path} ({_remark(nearest)})"
    if nearest.problem:
        yield f"    {nearest.problem}"
    report = nearest.report
    for change in report.skipped[:_FEW]:
        yield f"    {change.name} is {list(change.file_shape)} in the file and {list(change.model_shape)} in the model"
    for title, names in (("not in the file", report.missing), ("not in the model", report.unused)):
        short = shorten_names(names)
        if short:
            more = " ..." if len(short) > _FEW else ""
            yield f"    {title}: {', '.join(short[:_FEW])}{more}"


def _shape(value: Tensor) -> str:
    return f"[{', '.join(map(str, value.shape))}]"
