"""What an evaluator can say about its metrics, in explanation.json of a run until the page is written.

An evaluator that has a method `explain` is asked for sections after `evaluate()`, on rank 0. They are data only, so
that the page of a run can be written at any time after its last evaluation, also by another process.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from omegaconf import DictConfig

from eva_engine.atomic import atomic_path

from .sections import Chart, ImageFigure, ImageGrid, Line, Matrix, Part, Section, Table

logger = logging.getLogger(__name__)

EXPLANATION_FILE = "explanation.json"
_KINDS: dict[str, type[Part]] = {kind.__name__: kind for kind in (Table, Chart, ImageGrid, Matrix)}


@runtime_checkable
class Explains(Protocol):
    """An evaluator that explains its last evaluation."""

    def explain(self, cfg: DictConfig, loader: Any) -> Sequence[Section]:
        """Return sections for the page of the run; called on rank 0 only, once after `evaluate`.

        Args:
            cfg: Recipe of the evaluation.
            loader: The test loader, whose `dataset` has the records to draw.
        """


def write_explanation(evaluator: object, cfg: DictConfig, loader: Any) -> None:
    """Write the explanation of an evaluation to `train.output_dir`/explanation.json, instead of an earlier one.

    An error must not lose a training: every error is logged in one line.

    Args:
        evaluator: Evaluator of a finished evaluation; nothing is written for one that explains nothing.
        cfg: Recipe of the evaluation.
        loader: The test loader.
    """
    folder = Path(cfg.train.output_dir)
    file = folder / EXPLANATION_FILE
    file.unlink(missing_ok=True)
    if not isinstance(evaluator, Explains):
        return
    start = time.perf_counter()
    try:
        records = [_to_record(section) for section in evaluator.explain(cfg, loader)]
        with atomic_path(file) as partial:
            partial.write_text(json.dumps(records), encoding="utf-8")
    except Exception as error:
        logger.warning("The evaluation is not explained: %s", " ".join(f"{type(error).__name__}: {error}".split()))
        return
    logger.info("The evaluation is explained in %s (%.1f s).", file, time.perf_counter() - start)


def read_explanation(folder: Path) -> list[Section]:
    """Read the sections that `write_explanation` has written; [] if there are none."""
    file = folder / EXPLANATION_FILE
    if not file.is_file():
        return []
    return [_to_section(record) for record in json.loads(file.read_text(encoding="utf-8"))]


def _to_record(section: Section) -> dict[str, Any]:
    parts = [{"kind": type(part).__name__, **asdict(part)} for part in section.parts]
    return {**asdict(section), "parts": parts}


def _to_section(record: dict[str, Any]) -> Section:
    parts = []
    for values in record["parts"]:
        kind = _KINDS[values.pop("kind")]
        if kind is Chart:
            values["lines"] = [Line(**line) for line in values["lines"]]
        elif kind is ImageGrid:
            values["figures"] = [ImageFigure(**figure) for figure in values["figures"]]
        elif kind is Matrix:
            values["examples"] = {cell: ImageFigure(**figure) for cell, figure in values["examples"].items()}
        parts.append(kind(**values))
    return Section(**{**record, "parts": parts})
