"""Precision and recall of a detector, and the summary metrics that COCO and LVIS compute from them."""

from dataclasses import dataclass

import numpy as np

AREA_RANGES = ("all", "small", "medium", "large")  # limits at 32^2 and 96^2 square pixels
_IOU_50, _IOU_75 = 0, 5  # of the ten thresholds 0.50, 0.55, ..., 0.95


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall after matching detections to ground truth.

    Values are -1 where a category has no ground truth in an area range. Categories are ordered by id, area ranges as in
    `AREA_RANGES`.

    Attributes:
        precision: Interpolated precision in 0..1, [10 IoU thresholds, 101 recall levels, categories, area ranges,
            detection limits].
        recall: Maximum recall in 0..1, [10 IoU thresholds, categories, area ranges, detection limits].
        max_dets: The detection limits, ascending.
    """

    precision: np.ndarray
    recall: np.ndarray
    max_dets: tuple[int, ...]

    def average_precision(
        self, iou: int | None = None, area: str = "all", categories: list[int] | int | None = None
    ) -> float:
        """Return the mean precision at the largest detection limit, NaN if there is no ground truth.

        For one category and one IoU threshold, the mean over the recall levels approximates the area under the
        precision-recall curve.

        Args:
            iou: Index of one IoU threshold, None for the mean over all.
            area: Name of the area range.
            categories: Index or indices of categories, None for the mean over all.
        """
        values = self.precision[:, :, :, AREA_RANGES.index(area), -1]
        if categories is not None:
            values = values[:, :, categories]
        if iou is not None:
            values = values[iou]
        measured = values[values > -1]
        return float(measured.mean()) if measured.size else float("nan")

    def ap_metrics(self) -> dict[str, float]:
        """Return AP, AP50, AP75, APs, APm and APl under Detectron2's names, in percent."""
        return {
            "AP": 100 * self.average_precision(),
            "AP50": 100 * self.average_precision(iou=_IOU_50),
            "AP75": 100 * self.average_precision(iou=_IOU_75),
            "APs": 100 * self.average_precision(area="small"),
            "APm": 100 * self.average_precision(area="medium"),
            "APl": 100 * self.average_precision(area="large"),
        }

    def category_metrics(self, category: int) -> dict[str, float]:
        """Return AP and AP50 of the category at index `category`, in percent."""
        return {
            "AP": 100 * self.average_precision(categories=category),
            "AP50": 100 * self.average_precision(iou=_IOU_50, categories=category),
        }
