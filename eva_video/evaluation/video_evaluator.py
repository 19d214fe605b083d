"""Top-1 and top-5 accuracy of videos, averaged over several views of each video."""

import logging
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.logger import create_small_table
from omegaconf import DictConfig
from torch import Tensor

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_classification.evaluation.accuracy import AccuracyAccumulator, top_outputs
from eva_classification.evaluation.scored_sample import score_sample
from eva_engine.finite_outputs import finite_outputs
from eva_engine.processes import run_on_rank_zero
from eva_engine.report.sections import Section
from eva_engine.training.distributed.gathering import gather_records, gather_values

from .view_averager import ViewAverager

logger = logging.getLogger(__name__)


class VideoEvaluator(DatasetEvaluator):
    """Average the probabilities over the views of each video, and score every video once.

    The views of a video may be spread over batches and processes. A video is scored as soon as its views are complete,
    so that the probabilities of only a few videos are in memory.

    Args:
        num_clips, num_crops: Each video has num_clips * num_crops views.

    Raises:
        InputError: `process` got non-finite logits, or a class that the model does not have; `evaluate` found videos
            with fewer or more views.
    """

    metric_names = ("accuracy/top1", "accuracy/top5", "accuracy/loss")

    def __init__(self, num_clips: int = 1, num_crops: int = 1) -> None:
        self._num_views = num_clips * num_crops
        self.reset()

    def reset(self) -> None:
        """Remove all results."""
        self._accuracy = AccuracyAccumulator()
        self._averager = ViewAverager(self._num_views)
        self._samples: list[dict[str, Any]] = []  # see `score_sample`; after an evaluation, those of all processes
        self._num_classes = 0

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Add a batch of views.

        Args:
            inputs: "label" has the class indices [B] and "index" the indices of the videos in the dataset [B].
                "repeated" may mark views that were evaluated before and are ignored, [B].
            outputs: Logits [B, K].
        """
        probabilities = finite_outputs(outputs, "logits").softmax(dim=1).cpu()
        labels = [int(label) for label in inputs["label"]]
        if max(labels, default=0) >= probabilities.shape[1]:
            raise InputError(
                f"a video is of class {max(labels)}, the model has classes 0 to {probabilities.shape[1] - 1}: set the "
                "model's num_classes to that of the data."
            )
        self._num_classes = probabilities.shape[1]
        repeated = inputs["repeated"].tolist() if "repeated" in inputs else [False] * len(labels)
        for index, label, view, is_repeated in zip(inputs["index"], labels, probabilities, repeated, strict=True):
            if not is_repeated:
                self._score_if_complete(int(index), *self._averager.add(int(index), label, view))

    def _score_if_complete(self, index: int, label: int, probabilities: Tensor | None) -> None:
        if probabilities is None:
            return
        if label == UNREADABLE:
            self._accuracy.add_unreadable()
        else:
            top, losses = top_outputs(probabilities[None])[0], -probabilities.log()
            self._accuracy.add(top, [label], losses)
            self._samples.append({**score_sample("", [label], top[0], losses), "index": index})

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Return the accuracies in percent and the mean loss of the averaged probabilities.

        Returns:
            {"accuracy": {"top1": ..., "top5": ..., "loss": ...}} on rank 0, {} on other ranks.
        """
        # Videos whose views were divided among processes are incomplete in each; rank 0 adds up their sums.
        for record in gather_records(self._averager.pop_incomplete()):
            added = self._averager.add(record["index"], record["label"], record["sum"], record["count"])
            self._score_if_complete(record["index"], *added)
        incomplete = self._averager.pop_incomplete()
        accuracies = gather_values(self._accuracy)
        self._samples = gather_records(self._samples)
        return run_on_rank_zero(lambda: self._summarize(sum(accuracies, AccuracyAccumulator()), incomplete)) or {}

    def _summarize(
        self, accuracy: AccuracyAccumulator, incomplete: list[dict[str, Any]]
    ) -> dict[str, dict[str, float]]:
        if incomplete:
            index, count = incomplete[0]["index"], incomplete[0]["count"]
            raise InputError(
                f"{len(incomplete)} videos do not have {self._num_views} views each (video {index} has {count}): "
                "give the evaluator the num_clips and num_crops of the test data."
            )
        results = accuracy.metrics()
        views = f" in {self._num_views} views each" if self._num_views > 1 else ""
        logger.info("accuracy over %d videos%s:\n%s", accuracy.images, views, create_small_table(results))
        if accuracy.unreadable:
            logger.warning("%d videos could not be read and count as wrong.", accuracy.unreadable)
        return {"accuracy": results}

    def explain(self, cfg: DictConfig, loader: Any) -> list[Section]:
        """Explain the last evaluation; see `eva_engine.report.explanation.Explains`."""
        if not self._samples:
            return []
        from .explanation import explain_videos  # needs what only a page needs

        return explain_videos(self._samples, cfg, loader.dataset, self._num_classes)
