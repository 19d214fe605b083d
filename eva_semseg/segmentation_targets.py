"""Label maps as what the losses compare with: one mask for every class in the image."""

from dataclasses import dataclass

from torch import Tensor

from eva_backbone.errors import InputError

# Value of pixels without a label.
IGNORED = 255


@dataclass(frozen=True)
class Target:
    """Classes of one image, and where they are.

    Args:
        classes: int64 [N].
        masks: float32 zeros and ones [N, H, W]. Their size need not be that of the predicted masks.
    """

    classes: Tensor
    masks: Tensor


def masks_of_labels(labels: Tensor) -> Target:
    """The target of a label map [H, W] of class numbers, of which `IGNORED` is none; it may be all that there is."""
    classes = labels.unique()
    classes = classes[classes != IGNORED]
    return Target(classes.long(), (labels == classes[:, None, None]).float())


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raise InputError for labels [B, H, W] that are no class of the model; reads them, so give them on the CPU."""
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels >= num_classes))]
    if wrong.numel():
        raise InputError(
            f"the label maps hold the value {int(wrong[0])}, the model has classes 0 to {num_classes - 1} and "
            f"{IGNORED} for ignored pixels: convert the labels, or give the model the number of classes of the data."
        )
