"""Measured figures, and their transfer from a script to the command that runs all scripts."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16"]

# Environment variable with the name of the file to which a script appends a line of JSON per figure.
FIGURES = "EVA_BENCHMARK_FIGURES"
DECIMALS = {"s": 2, "ms": 1, "MiB": 0, "GB": 1, "%": 1, "AP": 1, "images/s": 2}


@dataclass(frozen=True)
class Figure:
    """One measured quantity of one case, for our implementation and optionally for a peer.

    Attributes:
        name: Name of the case, such as "forward, 1280 px".
        quantity: Measured quantity: "time", "memory", ...
        unit: A key of `DECIMALS`, or "" for a count.
        ours, theirs: Values in `unit`; `theirs` is None without a peer.
        peer: Name of the implementation that `theirs` belongs to.
        relation: How to compare the two: "ratio" of theirs to ours, "error" of ours relative to theirs, or "" for not.
        dtype: Precision of the measured computation.
        rate_fraction: Arithmetic that ours does per second, divided by the rate of large matrix products in the same
            precision, on the same machine in the same run.
    """

    name: str
    quantity: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    relation: Literal["ratio", "error", ""] = "ratio"
    dtype: Dtype = "float32"
    rate_fraction: float | None = None

    @property
    def ratio(self) -> float | None:
        """Factor by which ours is faster or smaller than theirs; None if the figure has no ratio."""
        if self.relation != "ratio" or not self.theirs or not self.ours:
            return None
        is_rate = self.unit.endswith("/s")
        return self.ours / self.theirs if is_rate else self.theirs / self.ours

    @property
    def error(self) -> float | None:
        """Percentage by which ours is above theirs; None if ours is not a prediction of theirs."""
        if self.relation != "error" or not self.theirs:
            return None
        return 100 * (self.ours / self.theirs - 1)


def record(*figures: Figure) -> None:
    """Pass `figures` to the command that started this script; no-op if the script was started directly."""
    if FIGURES in os.environ:
        with open(os.environ[FIGURES], "a", encoding="utf-8") as file:
            file.writelines(json.dumps(to_json(figure)) + "\n" for figure in figures)


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Read the figures that `record` wrote to a file, except for an incomplete last line."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return tuple(Figure(**json.loads(line)) for line in lines if line.endswith("\n"))


def to_json(figure: Figure) -> dict[str, object]:
    """Return the attributes, with floats rounded to six significant digits, and without those of few figures."""
    content = {key: float(f"{x:.6g}") if isinstance(x, float) else x for key, x in asdict(figure).items()}
    if figure.dtype == "float32":
        del content["dtype"]
    if figure.rate_fraction is None:
        del content["rate_fraction"]
    return content


def show_value(value: float, unit: str) -> str:
    """Format a value, for example "14.9 s", "2.0 ms", "7,782 MiB", "1,073,745,214"."""
    if unit == "s" and value < 0.1:
        return show_value(1e3 * value, "ms")
    # About three digits, with no more decimals than the unit has.
    if abs(value) >= 100:
        decimals = 0
    else:
        decimals = min(DECIMALS.get(unit, 0), 1 if abs(value) >= 10 else 2)
    return f"{value:,.{decimals}f} {unit}".rstrip()


def show_relation(figure: Figure) -> str:
    """Format the ratio or error, for example "1.27x", "40.8x", "-4.7 %"; "" without either."""
    if figure.error is not None:
        return f"{figure.error:+.1f} %"
    if figure.ratio is None:
        return ""
    if figure.ratio < 10:
        return f"{figure.ratio:.2f}x"
    if figure.ratio < 100:
        return f"{figure.ratio:.1f}x"
    return f"{figure.ratio:,.0f}x"
