"""The losses of Mask2Former: the classes of the queries, and their masks at sampled points."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from .head import Prediction
from .matcher import hungarian_match, match_cost
from .point_sampling import sample_masks, uncertain_points
from .segmentation_targets import Target


class SetCriterion:
    """Matches the queries of every prediction with the targets and computes the losses of the pairs.

    The computation is in float32, under autocast too.

    Args:
        class_weight, mask_weight, dice_weight: Factors of the losses, and of the costs of the matching.
        no_object_weight: Weight in the class loss of queries that are matched with no mask; matched ones have 1. Most
            queries have no mask, and would dominate the loss.
        num_points: Number of points at which masks are compared.
    """

    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        no_object_weight: float = 0.1,
        num_points: int = 12544,
    ) -> None:
        self.weights = {"class_weight": class_weight, "mask_weight": mask_weight, "dice_weight": dice_weight}
        self.no_object_weight = no_object_weight
        self.num_points = num_points

    def __call__(self, predictions: Sequence[Prediction], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the weighted losses, whose sum is the total loss.

        Args:
            predictions: Class logits [B, Q, K + 1] and mask logits [B, Q, h, w] of the initial queries and of every
                layer, the last layer at the end.
            targets: One per image; images without any mask are allowed.

        Returns:
            "loss_cls", "loss_mask" and "loss_dice" of the last prediction, "d0.loss_cls" and so on of the earlier ones.
            Every loss depends on its prediction, with gradients of 0 where there is nothing to compare.
        """
        with torch.autocast(predictions[0][0].device.type, enabled=False):
            return self._losses(predictions, targets)

    def _losses(self, predictions: Sequence[Prediction], targets: Sequence[Target]) -> dict[str, Tensor]:
        # All costs are computed before the first is matched: matching runs on the CPU and waits for the device once.
        costs = []
        for class_logits, mask_logits in predictions:
            for classes, masks, target in zip(class_logits, mask_logits, targets, strict=True):
                cost = match_cost(classes, masks, target, num_points=self.num_points, **self.weights)
                costs.append(cost.total())
        pairs = hungarian_match(costs)

        # Every prediction has the same number of pairs in an image, min(queries, masks), hence one divisor for all.
        num_matched = sum(len(queries) for queries, _ in pairs[: len(targets)])
        num_masks = _mean_over_processes(num_matched, costs[0].device)
        losses = {}
        for i, (class_logits, mask_logits) in enumerate(predictions):
            matched = pairs[i * len(targets) : (i + 1) * len(targets)]
            prefix = "" if i == len(predictions) - 1 else f"d{i}."
            losses[f"{prefix}loss_cls"] = self._class_loss(class_logits, targets, matched)
            mask_loss, dice_loss = self._mask_losses(mask_logits, targets, matched, num_masks)
            losses |= {f"{prefix}loss_mask": mask_loss, f"{prefix}loss_dice": dice_loss}
        return losses

    def _class_loss(self, logits: Tensor, targets: Sequence[Target], matched: Sequence) -> Tensor:
        no_object = logits.shape[-1] - 1
        target_classes = torch.full(logits.shape[:2], no_object, dtype=torch.int64, device=logits.device)
        for row, target, (queries, masks) in zip(target_classes, targets, matched, strict=True):
            row[queries] = target.classes[masks]
        weights = torch.ones(no_object + 1, device=logits.device)
        weights[no_object] = self.no_object_weight
        loss = F.cross_entropy(logits.float().flatten(0, 1), target_classes.flatten(), weights)
        return self.weights["class_weight"] * loss

    def _mask_losses(
        self, logits: Tensor, targets: Sequence[Target], matched: Sequence, num_masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the cross entropy and the dice loss of the matched masks, divided by `num_masks`."""
        chosen = torch.cat([image[queries] for image, (queries, _) in zip(logits, matched, strict=True)]).float()
        if not len(chosen):
            zero = chosen.sum()  # still a function of the logits: DDP waits for the gradient of every parameter
            return zero, zero
        points = uncertain_points(chosen.detach(), self.num_points)
        predicted = sample_masks(chosen, points)
        # Targets are sampled image by image: their masks differ in number and may differ in size.
        target_parts = []
        with torch.no_grad():
            points_by_image = points.split([len(queries) for queries, _ in matched])
            for target, (_, masks), image_points in zip(targets, matched, points_by_image, strict=True):
                if len(masks):
                    target_parts.append(sample_masks(target.masks[masks], image_points))
            wanted = torch.cat(target_parts)
        cross_entropy = F.binary_cross_entropy_with_logits(predicted, wanted, reduction="none").mean(1).sum()
        # Dice counts the overlap relative to the two areas, so that small masks weigh as much as large ones. The 1 in
        # both terms keeps it finite, and 0, for an empty prediction of an empty mask.
        probabilities = predicted.sigmoid()
        overlap, areas = (probabilities * wanted).sum(1), probabilities.sum(1) + wanted.sum(1)
        dice = (1 - (2 * overlap + 1) / (areas + 1)).sum()
        return (
            self.weights["mask_weight"] * cross_entropy / num_masks,
            self.weights["dice_weight"] * dice / num_masks,
        )


def _mean_over_processes(count: int, device: torch.device) -> Tensor:
    """Return the mean of `count` over all processes, at least 1.

    DDP averages gradients over processes. With the same divisor everywhere, each mask has the same weight in this
    average, no matter how many masks are on its process.
    """
    total = torch.tensor(float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total.clamp(min=1)
