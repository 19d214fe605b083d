"""Precision and recall of a detector, and the numbers that COCO and LVIS report of them."""

from dataclasses import dataclass

import numpy as np

AREA_RANGES = ("all", "small", "medium", "large")  # borders at 32^2 and 96^2 square pixels
_IOU_50, _IOU_75 = 0, 5  # of the ten thresholds 0.50, 0.55, ..., 0.95


@dataclass(frozen=True)
class PrecisionRecall:
    """Result of matching detections to ground truth; -1 where a category has no ground truth in an area range.

    Attributes:
        precision: [10 IoU thresholds, 101 recall levels, category, area range, detection limit], in 0..1.
        recall: the recall reached, [10 IoU thresholds, category, area range, detection limit].
        max_dets: the detection limits, ascending.

    Categories are ordered by id, area ranges as `AREA_RANGES`.
    """

    precision: np.ndarray
    recall: np.ndarray
    max_dets: tuple[int, ...]

    def average_precision(
        self, iou: int | None = None, area: str = "all", categories: list[int] | int | None = None
    ) -> float:
        """Mean precision at the largest detection limit, NaN where nothing can be measured.

        Args:
            iou: index of one IoU threshold, None for all.
            categories: index or indices of categories, None for all.
        """
        values = self.precision[:, :, :, AREA_RANGES.index(area), -1]
        values = values if categories is None else values[:, :, categories]
        return _mean(values if iou is None else values[iou])

    def ap_metrics(self) -> dict[str, float]:
        """AP, AP50, AP75, APs, APm, APl as Detectron2 names them, in percent."""
        return {
            "AP": 100 * self.average_precision(),
            "AP50": 100 * self.average_precision(iou=_IOU_50),
            "AP75": 100 * self.average_precision(iou=_IOU_75),
            "APs": 100 * self.average_precision(area="small"),
            "APm": 100 * self.average_precision(area="medium"),
            "APl": 100 * self.average_precision(area="large"),
        }

    def category_metrics(self, category: int) -> dict[str, float]:
        """AP and AP50 of one category, in percent."""
        return {
            "AP": 100 * self.average_precision(categories=category),
            "AP50": 100 * self.average_precision(iou=_IOU_50, categories=category),
        }


def _mean(values: np.ndarray) -> float:
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else float("nan")
