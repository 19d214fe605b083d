"""The losses of Mask2Former: classes of the queries, and their masks on points."""

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
    """Matches every prediction with the targets anew and compares them. All of it is in float32, under autocast too.

    Args:
        class_weight, mask_weight, dice_weight: factors of the losses, and of the costs of the matching.
        no_object_weight: of queries without a mask in the class loss, against 1 of those with one.
        num_points: on which masks are compared.
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
        """Weighted losses, to be summed.

        Args:
            predictions: class logits [B, Q, K + 1] and mask logits [B, Q, h, w], from the initial queries to the last
                layer.
            targets: one for each image; images without any mask are all right.

        Returns:
            "loss_cls", "loss_mask" and "loss_dice" of the last prediction, "d0.loss_cls" and so on of the earlier ones.
            Every prediction takes part in each of them, with gradients of 0 where there is nothing to compare.
        """
        with torch.autocast(predictions[0][0].device.type, enabled=False):
            return self._compare(predictions, targets)

    def _compare(self, predictions: Sequence[Prediction], targets: Sequence[Target]) -> dict[str, Tensor]:
        costs = [
            match_cost(classes, masks, target, num_points=self.num_points, **self.weights).total()
            for level in predictions
            for classes, masks, target in zip(*level, targets, strict=True)
        ]
        pairs = hungarian_match(costs)
        num_masks = _mean_over_processes(sum(len(queries) for queries, _ in pairs[: len(targets)]), costs[0].device)
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
        wanted = torch.full(logits.shape[:2], no_object, dtype=torch.int64, device=logits.device)
        for row, target, (queries, masks) in zip(wanted, targets, matched, strict=True):
            row[queries] = target.classes[masks]
        weights = torch.ones(no_object + 1, device=logits.device)
        weights[no_object] = self.no_object_weight
        loss = F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), weights)
        return self.weights["class_weight"] * loss

    def _mask_losses(
        self, logits: Tensor, targets: Sequence[Target], matched: Sequence, num_masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy and dice of the matched masks, `num_masks` being what they are divided by."""
        chosen = torch.cat([image[queries] for image, (queries, _) in zip(logits, matched, strict=True)]).float()
        if not len(chosen):
            nothing = chosen.sum()  # 0, and still a function of the logits: DDP waits for every gradient
            return nothing, nothing
        points = uncertain_points(chosen.detach(), self.num_points)
        predicted = sample_masks(chosen, points)
        with torch.no_grad():
            parts = points.split([len(queries) for queries, _ in matched])
            wanted = torch.cat(
                [
                    sample_masks(target.masks[masks], part)
                    for target, (_, masks), part in zip(targets, matched, parts, strict=True)
                    if len(masks)
                ]
            )
        cross_entropy = F.binary_cross_entropy_with_logits(predicted, wanted, reduction="none").mean(1).sum()
        shares = predicted.sigmoid()
        dice = (1 - (2 * (shares * wanted).sum(1) + 1) / (shares.sum(1) + wanted.sum(1) + 1)).sum()
        return (
            self.weights["mask_weight"] * cross_entropy / num_masks,
            self.weights["dice_weight"] * dice / num_masks,
        )


def _mean_over_processes(count: int, device: torch.device) -> Tensor:
    """The mean of `count` over all processes, at least 1."""
    total = torch.tensor(float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total.clamp(min=1)
