"""A measured figure as data, and how a script hands its figures to the command that runs them all."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

# Environment variable that names the file to which a script adds a line of JSON for every figure.
FIGURES = "EVA_BENCHMARK_FIGURES"
DECIMALS = {"s": 2, "ms": 1, "MiB": 0, "GB": 1, "%": 1, "AP": 1}


@dataclass(frozen=True)
class Figure:
    """One quantity of one case, of ours and, where there is one, of the peer.

    Attributes:
        name: the case, such as "forward, 1280 px".
        quantity: what was measured: "time", "memory", ...
        unit: a key of `DECIMALS`, or "" for a count.
        ours, theirs: the values, in `unit`; theirs is None without a peer.
        peer: whose value `theirs` is.
        relation: what the two have to do with each other: theirs over ours, the error of ours, or nothing.
    """

    name: str
    quantity: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    relation: Literal["ratio", "error", ""] = "ratio"

    @property
    def ratio(self) -> float | None:
        """Theirs over ours, more than 1 where ours is faster or smaller; None where there is none."""
        return self.theirs / self.ours if self.relation == "ratio" and self.theirs and self.ours else None

    @property
    def error(self) -> float | None:
        """Percent by which ours is above theirs; None where it is no prediction of theirs."""
        return 100 * (self.ours / self.theirs - 1) if self.relation == "error" and self.theirs else None


def record(*figures: Figure) -> None:
    """Hand `figures` to the command that started this script; does nothing in a script that was started by itself."""
    if FIGURES in os.environ:
        with open(os.environ[FIGURES], "a", encoding="utf-8") as file:
            file.writelines(json.dumps(to_json(figure)) + "\n" for figure in figures)


def read_figures(path: Path) -> tuple[Figure, ...]:
    """Those in the file that `record` has written; a last line that was not finished is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return tuple(Figure(**json.loads(line)) for line in lines if line.endswith("\n"))


def to_json(figure: Figure) -> dict[str, object]:
    """Its attributes, of the numbers six digits."""
    return {key: float(f"{x:.6g}") if isinstance(x, float) else x for key, x in asdict(figure).items()}


def show_value(value: float, unit: str) -> str:
    """Such as "14.9 s", "2.0 ms", "7,782 MiB", "1,073,745,214"."""
    if unit == "s" and value < 0.1:
        return show_value(1e3 * value, "ms")
    decimals = 0 if abs(value) >= 100 else min(DECIMALS.get(unit, 0), 1 if abs(value) >= 10 else 2)
    return f"{value:,.{decimals}f} {unit}".rstrip()


def show_relation(figure: Figure) -> str:
    """Such as "1.27x", "40.8x", "-4.7 %", or nothing."""
    if figure.error is not None:
        return f"{figure.error:+.1f} %"
    if figure.ratio is None:
        return ""
    decimals = 2 if figure.ratio < 10 else 1 if figure.ratio < 100 else 0
    return f"{figure.ratio:,.{decimals}f}x"
