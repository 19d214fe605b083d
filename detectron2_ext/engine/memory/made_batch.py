"""A made training batch with as many objects as an image can give work for."""

from typing import Any

import torch
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks


def made_batch(
    num_images: int, side: int, num_objects: int, num_classes: int, masks: str | None = "polygon"
) -> list[dict[str, Any]]:
    """Detectron2's records of `num_images` black images of `side` x `side` pixels.

    Args:
        num_objects: boxes per image, in rows, each of another size.
        masks: "polygon", "bitmask" or None for boxes only.
    """
    return [
        {
            "image": torch.zeros(3, side, side, dtype=torch.uint8),
            "height": side,
            "width": side,
            "instances": _instances(side, num_objects, num_classes, masks),
        }
        for _ in range(num_images)
    ]


def _instances(side: int, num_objects: int, num_classes: int, masks: str | None) -> Instances:
    instances = Instances((side, side))
    generator = torch.Generator().manual_seed(0)
    sizes = side * (0.05 + 0.25 * torch.rand(num_objects, 2, generator=generator))
    corners = torch.rand(num_objects, 2, generator=generator) * (side - sizes)
    boxes = torch.cat([corners, corners + sizes], dim=1)
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.arange(num_objects) % num_classes
    if masks == "polygon":
        instances.gt_masks = PolygonMasks([[box[[0, 1, 2, 1, 2, 3, 0, 3]].double().numpy()] for box in boxes])
    elif masks == "bitmask":
        columns = torch.arange(side)
        inside_x = (columns >= boxes[:, 0, None]) & (columns < boxes[:, 2, None])
        inside_y = (columns >= boxes[:, 1, None]) & (columns < boxes[:, 3, None])
        instances.gt_masks = BitMasks(inside_y[:, :, None] & inside_x[:, None, :])
    return instances
