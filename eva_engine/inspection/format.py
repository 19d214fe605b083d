"""What was found out about a weight file, as lines of text."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor, nn

from eva_engine.checkpoint.load_report import shorten_names

from .compatibility import Fit
from .describe import describe_model
from .example_commands import example_commands
from .identify import Identification
from .summary import WeightFileSummary, describe_tensors

_FEW, _MANY = 3, 12


def describe(found: Identification, entry: str = "") -> Iterator[str]:
    """Lines about the file, its model, the recipes that take it, and what loading it with the best of them would do.

    entry: the one that was asked for.
    """
    yield from describe_summary(found.outline)
    best = found.best
    known = found.same[0].model if found.same else _likely_model(found)
    yield f"  model: {describe_model(found.outline.weights, known)}"
    if found.note:
        yield f"  note: {found.note}"
    weights = found.outline.path
    if entry and best is not None:
        weights = weights.with_name(f"{weights.stem}_{entry}.pth")
        yield f"  first: python -m tools export {shlex.join(map(str, (found.outline.path, weights, '--entry', entry)))}"
    if found.same:
        yield from _describe_recipes("config", found.same, weights)
    starts = _starts_worth_naming(found)
    if starts:
        yield from _describe_recipes("start of training with", starts, weights)
    for use in found.other_uses:
        yield f"  {use.purpose}: {use.command}"
    if best is not None:
        yield f"  loaded with {best.recipe.path}:"
        yield from (f"    {line}" for line in [best.report.summary(), *best.report.details()])
    elif not found.other_uses:
        yield from _describe_difference(found)


def describe_summary(outline: WeightFileSummary) -> Iterator[str]:
    """Lines on the file itself: its kind, its size, what lies in it."""
    yield f"{outline.path}: {outline.kind}, {outline.num_bytes:,} bytes"
    for name, content in list(outline.entries.items())[:_MANY]:
        yield f"  entry {name}: {content}" if name else f"  at the top: {content}"
    if len(outline.entries) > _MANY:
        yield f"  and {len(outline.entries) - _MANY:,} more entries"
    merged = f", low-rank layers of rank {outline.lora_rank} merged" if outline.lora_rank else ""
    yield f"  weights: {describe_tensors(outline.weights)}{merged}"


def describe_names(outline: WeightFileSummary) -> Iterator[str]:
    """A line for every weight: its name, shape and type."""
    for name, value in outline.weights.items():
        yield f"    {name} {_shape(value)} {str(value.dtype).removeprefix('torch.')}"


def _likely_model(found: Identification) -> nn.Module | None:
    """Of recipes with another patch or other classes the task is known, of those with little in common it is not."""
    nearest = found.nearest
    return nearest.model if nearest is not None and nearest.coverage > 0.95 else None


def _starts_worth_naming(found: Identification) -> Sequence[Fit]:
    named = [fit for fit in found.starts if fit.recipe.starts_from(found.outline.path)]
    return named or ([] if found.same else found.starts[:_FEW])


def _describe_recipes(title: str, fits: Sequence[Fit], weights: Path) -> Iterator[str]:
    best, *others = fits
    yield f"  {title}: {best.recipe.path} ({_remark(best)})"
    for verb, command in example_commands(best, weights):
        yield f"    {verb}: {command}"
    for fit in others[:_MANY]:
        yield f"    or {fit.recipe.path} ({_remark(fit)})"
    if len(others) > _MANY:
        yield f"    or {len(others) - _MANY} more"


def _remark(fit: Fit) -> str:
    if fit.is_exact:
        return "exactly this model"
    report = fit.report
    counts = [("resized", report.resized), ("skipped", report.skipped), ("missing", report.missing)]
    return ", ".join(
        f"{len(names)} {word}" for word, names in [("used", report.used), *counts, ("unused", report.unused)] if names
    )


def _describe_difference(found: Identification) -> Iterator[str]:
    nearest = found.nearest
    if nearest is None or not nearest.num_common:
        yield "  config: no recipe has a model with such entries"
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
            yield f"    {title}: {', '.join(short[:_FEW])}{' ...' if len(short) > _FEW else ''}"


def _shape(value: Tensor) -> str:
    return f"[{', '.join(map(str, value.shape))}]"
