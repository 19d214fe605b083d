"""Top-1 and top-5 accuracy of videos that are seen in several views."""

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.logger import create_small_table
from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_classification.evaluation.accuracy import AccuracyAccumulator, top_outputs
from eva_engine.finite_outputs import finite_outputs
from eva_engine.training.distributed.gathering import gather_records, gather_values, run_on_first

from .view_scores import ViewScores

logger = logging.getLogger(__name__)


class VideoEvaluator(DatasetEvaluator):
    """Averages the probabilities of a video's views, wherever they were computed, and counts every video once.

    Args:
        num_clips, num_crops: each video comes in num_clips * num_crops views. A video whose views are complete is
            scored at once and its probabilities are let go, so that memory holds those of a few videos only.

    Raises:
        InputError: from `process`, logits that are no finite numbers, or a class that the model does not have; from
            `evaluate`, videos that came with fewer or more views.
    """

    metric_names = ("accuracy/top1", "accuracy/top5", "accuracy/loss")

    def __init__(self, num_clips: int = 1, num_crops: int = 1) -> None:
        self._num_views = num_clips * num_crops
        self.reset()

    def reset(self) -> None:
        """Forget all videos."""
        self._tally = AccuracyAccumulator()
        self._scores = ViewScores(self._num_views)

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Take logits [B, K] of a batch of views: "label" their classes, "index" the numbers of their videos."""
        probabilities = finite_outputs(outputs, "logits").softmax(dim=1).cpu()
        labels = [int(label) for label in inputs["label"]]
        if max(labels, default=0) >= probabilities.shape[1]:
            raise InputError(
                f"a video is of class {max(labels)}, the model has classes 0 to {probabilities.shape[1] - 1}: set the "
                "model's num_classes to that of the data."
            )
        repeated = inputs["repeated"].tolist() if "repeated" in inputs else [False] * len(labels)
        for index, label, view, again in zip(inputs["index"], labels, probabilities, repeated, strict=True):
            if not again:
                self._count(*self._scores.add(int(index), label, view))

    def _count(self, label: int, probabilities: Tensor | None) -> None:
        if probabilities is None:
            return
        if label == UNREADABLE:
            self._tally.add_unreadable()
        else:
            self._tally.add(top_outputs(probabilities[None])[0], [label], -probabilities.log())

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Accuracies in percent and the mean loss of the averaged probabilities; {} on every process but the first.

        Returns:
            {"accuracy": {"top1": ..., "top5": ..., "loss": ...}}.
        """
        # Only videos whose views were split among processes are left to be put together.
        for record in gather_records(self._scores.take_incomplete()):
            self._count(*self._scores.add(record["index"], record["label"], record["sum"], record["count"]))
        incomplete = self._scores.take_incomplete()
        tallies = gather_values(self._tally)
        return run_on_first(lambda: self._summarize(sum(tallies, AccuracyAccumulator()), incomplete)) or {}

    def _summarize(self, tally: AccuracyAccumulator, incomplete: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
        if incomplete:
            number, count = incomplete[0]["index"], incomplete[0]["count"]
            raise InputError(
                f"{len(incomplete)} videos did not come in {self._num_views} views each (video {number} in {count}): "
                "give the evaluator the num_clips and num_crops of the test data."
            )
        results = tally.metrics()
        views = f" in {self._num_views} views each" if self._num_views > 1 else ""
        logger.info("accuracy over %d videos%s:\n%s", tally.images, views, create_small_table(results))
        if tally.unreadable:
            logger.warning("Videos that could not be read, and count as wrong: %d", tally.unreadable)
        return {"accuracy": results}
