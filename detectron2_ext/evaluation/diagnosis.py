"""Which detections are right and which objects are missed, as hotcoco matches them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .ground_truth import GroundTruth
from .precision_recall import PrecisionRecall
from .score_thresholds import ThresholdCounts, count_by_threshold


@dataclass(frozen=True)
class Diagnosis:
    """An evaluation of boxes by hotcoco, with the status of every detection and object at IoU 0.5.

    Attributes:
        evaluation: The `hotcoco.COCOeval`, after `accumulate`.
        truth: The annotations.
        results: The evaluated detections, numbered from 1 in this order, with the ids of `truth`.
        max_dets: The detection limits.
    """

    evaluation: Any
    truth: GroundTruth
    results: list[dict]
    max_dets: tuple[int, ...]

    @cached_property
    def curves(self) -> PrecisionRecall:
        """Precision and recall of each class."""
        tables, num_categories = self.evaluation.eval, len(self.truth.categories)
        precision = np.reshape(tables["precision"], (10, 101, num_categories, 4, -1))
        return PrecisionRecall(precision, np.reshape(tables["recall"], (10, num_categories, 4, -1)), self.max_dets)

    @cached_property
    def images(self) -> dict[str, Any]:
        """hotcoco's `image_diagnostics`."""
        return self.evaluation.image_diagnostics(iou_thr=0.5, score_thr=0.0)

    @cached_property
    def counted(self) -> np.ndarray:
        """Indices of the detections that count, ascending; ignored ones, such as those of crowds, do not, [N]."""
        return np.sort(np.fromiter(self.images["dt_status"], np.int64)) - 1

    @cached_property
    def is_right(self) -> np.ndarray:
        """Whether each of the counted detections has a match, bool [N]."""
        status = self.images["dt_status"]
        return np.array([status[index + 1] == "tp" for index in self.counted.tolist()], dtype=bool)

    @cached_property
    def scores(self) -> np.ndarray:
        """Scores of the counted detections, [N]."""
        return np.array([self.results[index]["score"] for index in self.counted.tolist()], dtype=np.float64)

    @cached_property
    def classes(self) -> np.ndarray:
        """Class indices of the counted detections, [N]."""
        return np.array([self.results[index]["category_id"] for index in self.counted.tolist()], np.int64) - 1

    @cached_property
    def objects(self) -> np.ndarray:
        """Number of objects of each class, without ignored ones, [K]."""
        numbers = [self.truth.annotations[key - 1]["category_id"] for key in self.images["gt_status"]]
        return np.bincount(np.array(numbers, np.int64) - 1, minlength=len(self.truth.categories))

    def counts(self) -> ThresholdCounts:
        """Return the counts of right and wrong detections by threshold."""
        return count_by_threshold(self.scores, self.classes, self.is_right, self.objects)

    def image_counts(self, threshold: float) -> dict[int, tuple[int, int, int]]:
        """Return the numbers of right and wrong detections and of missed objects of every image, by its number."""
        counts = np.zeros((len(self.truth.images) + 1, 3), np.int64)
        kept = self.scores >= threshold
        numbers = np.array([self.results[index]["image_id"] for index in self.counted[kept].tolist()], np.int64)
        np.add.at(counts, (numbers, np.where(self.is_right[kept], 0, 1)), 1)
        for key in self.images["gt_status"]:
            counts[self.truth.annotations[key - 1]["image_id"], 2] += 1
        counts[:, 2] -= counts[:, 0]
        return {image["id"]: tuple(counts[image["id"]].tolist()) for image in self.truth.images}

    def confusion_matrix(self, threshold: float) -> np.ndarray:
        """Return hotcoco's confusion matrix [K + 1, K + 1] at IoU 0.5; the last row and column stand for no class.

        Args:
            threshold: Detections with a lower score do not take part.
        """
        counted = [self.results[index] for index in self.counted.tolist()]
        if len(counted) == len(self.results):
            evaluation = self.evaluation
        else:
            # hotcoco's matrix counts ignored detections, such as those of crowds, as detections where nothing is.
            truth = self.evaluation.coco_gt
            evaluation = type(self.evaluation)(truth, truth.load_res(counted), "bbox")
            evaluation.params.max_dets = list(self.max_dets)
            evaluation.evaluate()
        return evaluation.confusion_matrix(iou_thr=0.5, min_score=threshold)["matrix"].astype(np.int64)
