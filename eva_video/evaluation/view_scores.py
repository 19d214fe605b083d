"""Probabilities of views, added up until a video is complete."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class ViewScores:
    """Sums of the videos that still wait for views.

    Args:
        num_views: that make a video complete.
    """

    num_views: int
    _waiting: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, index: int, label: int, scores: Tensor, count: int = 1) -> tuple[int, Tensor | None]:
        """The label, and the mean over the views of video `index`, or None while views are missing.

        Args:
            index: number of the video.
            label: its class. The video is complete with the worst of its views: a negative label stays.
            scores: probabilities [K] of a view, or the sum over some.
            count: of how many views.
        """
        record = self._waiting.get(index)
        if record is None:
            record = {"index": index, "label": label, "sum": scores.clone(), "count": count}
            self._waiting[index] = record
        else:
            record["sum"] += scores
            record["count"] += count
            record["label"] = min(record["label"], label)
        if record["count"] != self.num_views:
            return record["label"], None
        del self._waiting[index]
        return record["label"], record["sum"] / self.num_views

    def take_incomplete(self) -> list[dict[str, Any]]:
        """Records of the videos that wait, which are forgotten: "index", "label", "sum" and "count"."""
        records, self._waiting = list(self._waiting.values()), {}
        return records
