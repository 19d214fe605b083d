"""The evaluations of a run, on disk: which were made, and which was the best."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from detectron2.utils import comm

from detectron2_ext.atomic import atomic_path

from .monitoring import BestMetric


class EvaluationHistory:
    """`evaluations.json` in the folder of a run: one entry {"iteration": ..., "bbox/AP": ..., ...} an evaluation.

    Args:
        file: where it is kept; written by the first process only.
        start_iter: entries of this iteration and later ones are forgotten: the run does them again.
        best: says which evaluation is the best; None: nobody asks.
    """

    def __init__(self, file: Path, start_iter: int, best: BestMetric | None = None) -> None:
        self.file = file
        self.best = best
        entries = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        self.entries = [entry for entry in entries if entry["iteration"] < start_iter]
        for entry in self.entries if best else ():
            best.update(entry, entry["iteration"])

    def has(self, iteration: int) -> bool:
        """Whether the model behind `iteration` was evaluated; the same answer on every process."""
        return comm.all_gather(any(entry["iteration"] == iteration for entry in self.entries))[0]

    def add(self, iteration: int, results: Mapping[str, float]) -> bool:
        """Write an evaluation down, values that are not finite as null; whether it is the best so far.

        Every process calls it, the first one with results, and all get the same answer.
        """
        is_best = bool(results) and self.best is not None and self.best.update(results, iteration)
        numbers = {name: value if math.isfinite(value) else None for name, value in results.items()}
        self.entries.append({"iteration": iteration, **numbers})
        if comm.is_main_process():
            with atomic_path(self.file) as partial:
                partial.write_text(json.dumps(self.entries, indent=1), encoding="utf-8")
        return comm.all_gather(is_best)[0]
