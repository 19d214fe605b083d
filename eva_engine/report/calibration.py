"""Compare scores with how often they are right."""

from collections.abc import Mapping, Sequence
from typing import Any

from .sections import Chart, Line


def reliability_chart(bins: Sequence[Mapping[str, Any]], error: float, subject: str) -> Chart:
    """Return the reliability diagram of bins that hotcoco has computed.

    Args:
        bins: Records of "avg_confidence", "avg_accuracy" and "count", by hotcoco's `calibration_curve`.
        error: Expected calibration error, 0 to 1: the mean distance of a bin's accuracy from its score.
        subject: What has a score, such as "detections".
    """
    filled = [record for record in bins if record["count"]]
    scores = [float(record["avg_confidence"]) for record in filled]
    accuracies = [float(record["avg_accuracy"]) for record in filled]
    total = sum(record["count"] for record in filled)
    mean_score = sum(score * record["count"] for score, record in zip(scores, filled, strict=True)) / max(total, 1)
    mean_accuracy = sum(a * record["count"] for a, record in zip(accuracies, filled, strict=True)) / max(total, 1)
    note = (
        f"Of the {total} {subject}, {mean_accuracy:.1%} are right, with a mean score of {mean_score:.1%}. "
        f"The expected calibration error is {error:.1%}: points above the dashed line are more often right than "
        "their score says."
    )
    return Chart(
        "Calibration",
        "score",
        "fraction that is right",
        [Line("perfect", [0, 1], [0, 1], dashed=True), Line("measured", scores, accuracies)],
        note,
    )
