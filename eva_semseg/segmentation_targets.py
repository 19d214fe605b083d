"""Targets of the losses: one binary mask for every class in an image."""

from dataclasses import dataclass

from torch import Tensor

from eva_backbone.errors import InputError

# Value of unlabelled pixels, which losses and metrics ignore.
IGNORE_LABEL = 255


@dataclass(frozen=True)
class Target:
    """Classes and masks of one image.

    Attributes:
        classes: int64 [N].
        masks: float32 zeros and ones [N, H, W]. Their size may differ from that of the predicted masks.
    """

    classes: Tensor
    masks: Tensor


def target_from_labels(labels: Tensor) -> Target:
    """Return the target of a label map [H, W] of class indices; pixels of `IGNORE_LABEL` are in no mask.

    The target has no masks if all pixels are unlabelled.
    """
    classes = labels.unique()
    classes = classes[classes != IGNORE_LABEL]
    return Target(classes.long(), (labels == classes[:, None, None]).float())


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raise InputError if labels [B, H, W] contain values other than class indices and `IGNORE_LABEL`.

    It reads the values, so labels should be on the CPU: for labels on a GPU it would wait for the GPU.
    """
    wrong = labels[(labels != IGNORE_LABEL) & ((labels < 0) | (labels >= num_classes))]
    if wrong.numel():
        raise InputError(
            f"the label maps contain the value {int(wrong[0])}, the model has classes 0 to {num_classes - 1} and "
            f"{IGNORE_LABEL} for ignored pixels: convert the labels, or set the model's number of classes to that of "
            "the data."
        )
