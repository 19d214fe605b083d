"""Cross entropy for hard labels, smoothed or not, and for the soft labels of mixup and CutMix."""

import torch
import torch.nn.functional as F

from eva_backbone.errors import InputError


def classification_loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return the mean cross entropy over images, computed in float32.

    Args:
        logits: [B, K].
        labels: Class indices [B], or the class probabilities [B, K] of mixed images.
        smoothing: Label smoothing for class indices. Mixup applies its own smoothing to soft labels.
    """
    # A loss is a small difference of large numbers, the logit of the label and the log-sum-exp of all logits, and
    # bfloat16 has only 8 significant bits.
    if labels.is_floating_point():
        return F.cross_entropy(logits.float(), labels.float())
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def check_labels(labels: torch.Tensor, num_classes: int) -> None:
    """Check class indices [B] or soft labels [B, K] against the number of classes.

    The check reads the values of the labels, so on a GPU it would wait for the device.

    Raises:
        InputError: The labels do not fit `num_classes`.
    """
    if labels.is_floating_point():
        if labels.ndim != 2 or labels.shape[1] != num_classes:
            raise InputError(
                f"the soft labels have shape {list(labels.shape)}, expected [images, {num_classes}]: give the mixup "
                "and the model the same num_classes."
            )
    elif labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise InputError(
            f"the labels range from {int(labels.min())} to {int(labels.max())}, but the model has classes 0 to "
            f"{num_classes - 1}: set the model's num_classes to the number of classes of the data."
        )
