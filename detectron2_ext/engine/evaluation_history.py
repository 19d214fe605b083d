"""The evaluations of a run, on disk: which were made, and which was the best."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from detectron2.utils import comm

from detectron2_ext.atomic import atomic_path
from eva_backbone.errors import InputError


class EvaluationHistory:
    """`evaluations.json` in the folder of a run: one entry {"iteration": ..., "bbox/AP": ..., ...} an evaluation.

    Args:
        file: where it is kept; written by the first process only.
        start_iter: entries of this iteration and later ones are forgotten: the run does them again.
        metric: name such as "bbox/AP" that says which evaluation is best; empty: none is.
        mode: whether "max" or "min" of the metric is best.

    Raises:
        InputError: an unknown mode.
    """

    def __init__(self, file: Path, start_iter: int, metric: str = "", mode: str = "max") -> None:
        if mode not in ("max", "min"):
            raise InputError(f'train.checkpointer.best_mode={mode} is not known; choose "max" or "min"')
        self.file = file
        self.metric = metric
        self.mode = mode
        entries = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        self.entries = [entry for entry in entries if entry["iteration"] < start_iter]

    def has(self, iteration: int) -> bool:
        """Whether the model behind `iteration` was evaluated; the same answer on every process."""
        return comm.all_gather(any(entry["iteration"] == iteration for entry in self.entries))[0]

    def is_best(self, results: Mapping[str, float]) -> bool:
        """Whether `results` beat all entries by the metric; one that is not finite never does.

        Raises:
            InputError: the metric is not among the results.
        """
        if not self.metric or not results:
            return False
        if self.metric not in results:
            raise InputError(
                f"train.checkpointer.best_metric={self.metric} is not among the results; "
                f"choose one of {', '.join(sorted(results))}"
            )
        sign = 1 if self.mode == "max" else -1
        earlier = [entry[self.metric] for entry in self.entries if entry.get(self.metric) is not None]
        value = results[self.metric]
        return math.isfinite(value) and all(sign * value > sign * other for other in earlier)

    def add(self, iteration: int, results: Mapping[str, float]) -> None:
        """Write an evaluation down; values that are not finite become null."""
        numbers = {name: value if math.isfinite(value) else None for name, value in results.items()}
        self.entries.append({"iteration": iteration, **numbers})
        if comm.is_main_process():
            with atomic_path(self.file) as partial:
                partial.write_text(json.dumps(self.entries, indent=1), encoding="utf-8")
