"""A plan as text."""

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from .advice import Advice, Change
from .planner import Prediction
from .rank_table import RankRow

GB = 10**9
_STATE = {
    "weights": "weights",
    "optimizer": "optimizer state",
    "average": "moving average",
    "companions": "frozen teacher",
    "gradients": "gradients (wait for the other parts)",
    "buckets": "gradient buckets between GPUs",
}


def describe_prediction(prediction: Prediction, reserve: int) -> str:
    """The parts of the peak and the peak of every part of a step."""
    held = prediction.persistent_memory
    lines = [(text, getattr(held, name)) for name, text in _STATE.items() if getattr(held, name)]
    top = max(prediction.moments, key=prediction.moments.__getitem__)
    lines.append((f"activations and gradients at the peak ({top})", prediction.peak - held.total))
    lines.append(("peak", prediction.peak))
    if reserve:
        lines.append(("reserve: CUDA context, workspaces, fragmentation (assumed)", reserve))
    if held.host:
        lines.append(("in the memory of the CPU", held.host))
    moments = ", ".join(f"{moment} {num_bytes / GB:.1f}" for moment, num_bytes in prediction.moments.items())
    table = tabulate(
        [(text, f"{num_bytes / GB:.2f}") for text, num_bytes in lines], ("per GPU", "GB"), stralign="right"
    )
    return (
        f"{prediction.samples} {prediction.sample} at a time\n\n{table}\n\nmost in each part of a step, GB: {moments}"
    )


def describe_resolutions(predictions: Sequence[Prediction], reserve: int, memory: int) -> str:
    """One line per resolution."""
    rows = []
    for p in predictions:
        total = p.peak + reserve
        fits = "yes" if total <= memory else "no"
        rows.append(
            (
                p.side,
                p.samples,
                _gb(p.persistent_memory.total),
                _gb(p.peak - p.persistent_memory.total),
                _gb(total),
                fits,
            )
        )
    headers = ("pixels", "at a time", "resident GB", "activations, gradients GB", "with reserve GB", "fits")
    return tabulate(rows, headers, disable_numparse=True, stralign="right")


def describe_ranks(rows: Sequence[RankRow]) -> str:
    """One line per number of ranks."""
    cells = [
        (
            row.num_ranks,
            *(_gb(value) for p in row.predictions for value in (p.persistent_memory.total, p.peak)),
            _gb(row.host),
        )
        for row in rows
    ]
    headers = ("ranks", "DDP state", "DDP peak", "FSDP2 state", "FSDP2 peak", "+ offload state", "peak", "CPU")
    return tabulate(cells, headers, disable_numparse=True, stralign="right")


def describe_advice(advice: Advice, reserve: int) -> Iterator[str]:
    """Lines with overrides ready to paste."""
    if not advice.steps:
        yield "nothing that is known here would lower the peak"
        return
    yield "Change, in this order, all of them:" if len(advice.steps) > 1 else "Change:"
    yield from (_change_line(step, reserve) for step in advice.steps)
    if advice.instead:
        yield "In place of the last one, one of these would do:"
        yield from (_change_line(step, reserve) for step in advice.instead)
    together = " ".join(_quoted(override) for step in advice.steps for override in step.overrides)
    yield f"Together:\n  {together}" if advice.fits else f"All of that is not enough:\n  {together}"


def _change_line(change: Change, reserve: int) -> str:
    overrides = " ".join(map(_quoted, change.overrides))
    return f"  {_gb(change.prediction.peak + reserve):>6} GB  {overrides}   ({change.cost})"


def _quoted(override: str) -> str:
    return f"'{override}'" if any(character in override for character in '[]*"') else override


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / GB:.2f}"
