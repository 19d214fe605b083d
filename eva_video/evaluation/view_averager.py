"""Average the probabilities of the views of each video."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class ViewAverager:
    """Sum the probabilities of the views of each video until all views have been added.

    Args:
        num_views: Number of views of each video.
    """

    num_views: int
    _incomplete: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, index: int, label: int, scores: Tensor, count: int = 1) -> tuple[int, Tensor | None]:
        """Add one view, or the sum of several.

        Args:
            index: Index of the video in the dataset.
            label: Class index; negative for a view that could not be read.
            scores: Probabilities [K] of a view, or the sum over several views.
            count: Number of views in `scores`.

        Returns:
            The label of the video, which is negative if one of its views is; and the mean probabilities [K] over its
            views, or None while views are missing.
        """
        record = self._incomplete.get(index)
        if record is None:
            record = {"index": index, "label": label, "sum": scores.clone(), "count": count}
            self._incomplete[index] = record
        else:
            record["sum"] += scores
            record["count"] += count
            record["label"] = min(record["label"], label)
        if record["count"] != self.num_views:
            return record["label"], None
        del self._incomplete[index]
        return record["label"], record["sum"] / self.num_views

    def pop_incomplete(self) -> list[dict[str, Any]]:
        """Remove and return the records {"index", "label", "sum", "count"} of the videos that still miss views."""
        records = list(self._incomplete.values())
        self._incomplete = {}
        return records
