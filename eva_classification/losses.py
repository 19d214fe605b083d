"""The losses of classification: of class numbers, smoothed or not, and of the mixed targets of mixup and CutMix."""

import torch
import torch.nn.functional as F

from eva_backbone.errors import InputError


def classification_loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Mean cross entropy over images, in float32.

    Args:
        logits: [B, K].
        labels: class numbers [B], or probabilities [B, K] of mixed images.
        smoothing: share of the target that is spread over all classes. Mixed targets carry their own.
    """
    if labels.is_floating_point():
        return F.cross_entropy(logits.float(), labels.float())
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def check_labels(labels: torch.Tensor, num_classes: int) -> None:
    """Raise InputError for labels [B] or targets [B, K] of another number of classes; on the CPU, as it reads them."""
    if labels.is_floating_point():
        if labels.ndim != 2 or labels.shape[1] != num_classes:
            raise InputError(
                f"the mixed targets have shape {list(labels.shape)}, expected is [images, {num_classes}]: give the "
                "mixup and the model the same number of classes."
            )
    elif labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise InputError(
            f"the labels reach from {int(labels.min())} to {int(labels.max())}, the model has classes 0 to "
            f"{num_classes - 1}: set the model's num_classes to the number of classes of the data."
        )
