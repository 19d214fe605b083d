"""How well the detections of two models agree."""

import torch
from detectron2.structures import Instances, pairwise_iou

from eva_deploy.task_export import Agreement

BOX, SCORE, MASK = "box (pixels)", "score", "mask probability"
# Two detections of a class are the same if the IoU of their boxes is at least this.
_SAME_BOX = 0.8


def compare_detections(first: Instances, second: Instances) -> Agreement:
    """Match the detections of two models for an image and return how far they differ.

    In the order of their scores, each of the first is matched with that of the second of its class that has the largest
    IoU and is not matched yet. Differences are those of matched detections.

    Args:
        first, second: Detections with `pred_boxes`, `scores`, `pred_classes`, and `probabilities` [N, M, M] of the
            masks, if there are any.
    """
    count = max(len(first), len(second))
    iou = pairwise_iou(first.pred_boxes, second.pred_boxes)
    iou[first.pred_classes[:, None] != second.pred_classes] = 0
    rows, columns = [], []
    for row in first.scores.argsort(descending=True, stable=True).tolist():
        if not len(second) or iou[row].max() < _SAME_BOX:
            continue
        column = int(iou[row].argmax())
        iou[:, column] = 0
        rows.append(row)
        columns.append(column)
    if not rows:
        return Agreement({}, 0, count)
    matched, others = first[rows], second[columns]
    differences = {
        BOX: _largest(matched.pred_boxes.tensor - others.pred_boxes.tensor),
        SCORE: _largest(matched.scores - others.scores),
    }
    if first.has("probabilities"):
        differences[MASK] = _largest(matched.probabilities - others.probabilities)
    return Agreement(differences, len(rows), count)


def _largest(difference: torch.Tensor) -> float:
    return float(difference.abs().max())
