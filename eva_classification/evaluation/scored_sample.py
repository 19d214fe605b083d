"""The prediction for one image or video, as a record that processes can exchange."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor


def score_sample(
    file_name: str, correct: Sequence[int], predicted: int, losses: Tensor, classes: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the record of a prediction.

    Args:
        file_name: File of the image or video.
        correct: Outputs of the model that are correct; at least one.
        predicted: Output with the highest score.
        losses: Negative log probability of each output, [K].
        classes: Class index of each output; None if they are the same.

    Returns:
        {"file": file_name, "true": class index, "predicted": class index, "score": probability of the predicted class,
        "true_score": probability of the true class}. Of several correct classes, the true one is the predicted class if
        it is correct, else the first.
    """
    true = predicted if predicted in correct else correct[0]
    return {
        "file": file_name,
        "true": true if classes is None else classes[true],
        "predicted": predicted if classes is None else classes[predicted],
        "score": math.exp(-float(losses[predicted])),
        "true_score": math.exp(-float(losses[true])),
    }
