"""Masks of large images, handled in the window around each object: paste, encode, decode, crop.

The time for a mask depends on the size of its object and not on that of the image, and every result is exactly that of
the same operation on the full mask.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_util
import torch
import torch.nn.functional as F
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances

_THRESHOLD = 0.5  # of Detectron2's `detector_postprocess`
# Pixels whose four neighbours in the predicted mask are all this far from the threshold need no interpolation. It is
# far above the rounding errors, also of float16.
_MARGIN = 0.05
_PIXELS_AT_ONCE = 2_000_000  # bounds the memory for interpolation


class MaskWindow(NamedTuple):
    """A part of a full mask; there is no foreground outside of it.

    Attributes:
        top: First row in the full mask.
        left: First column in the full mask.
        mask: bool [h, w].
    """

    top: int
    left: int
    mask: np.ndarray


class EncodedMasks(Sequence):
    """The masks of an image in a fraction of their memory: bool [H, W] each, which are decoded when they are accessed.

    Attributes:
        rles: COCO RLE of each mask.
    """

    def __init__(self, rles: list[dict[str, Any]]) -> None:
        self.rles = rles

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int):
            return torch.from_numpy(mask_util.decode(self.rles[index]).astype(bool))
        return EncodedMasks([self.rles[i] for i in torch.arange(len(self))[index].tolist()])


def rescale_detections(detections: Instances, height: int, width: int) -> Instances:
    """Convert detections to the pixels of the original image, as `detector_postprocess` of Detectron2 does.

    Returns:
        Instances without `pred_masks`; if there were some, with `pred_masks_rle`, the COCO RLE of each [H, W] mask.
    """
    rescaled = rescale_to_image(detections, height, width)
    encode_masks(rescaled)
    return rescaled


def rescale_to_image(detections: Instances, height: int, width: int) -> Instances:
    """Return the outputs of a model in the pixels of the original image, with `probabilities` if it predicts masks.

    Args:
        detections: Outputs without post-processing; modified.
        height, width: Size of the original image.

    Returns:
        Instances without `pred_masks`; if there were some, with `probabilities` [N, M, M], the masks within the boxes.
    """
    masks = detections.get_fields().pop("pred_masks", None)
    if masks is not None:
        # A name that Detectron2 leaves alone; it would create all full-size masks.
        detections.probabilities = masks[:, 0]
    return detector_postprocess(detections, height, width)


def encode_masks(instances: Instances) -> None:
    """Replace `probabilities`, if there are any, by the masks of the image in `pred_masks_rle`."""
    if instances.has("probabilities"):
        boxes, probabilities = instances.pred_boxes.tensor, instances.probabilities
        instances.remove("probabilities")
        instances.pred_masks_rle = encode_predicted_masks(boxes, probabilities, instances.image_size)


def encode_predicted_masks(boxes: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the COCO RLE of each predicted mask in its image, as Detectron2's pasting and pycocotools give it.

    Args:
        boxes: Boxes [N, 4], x0, y0, x1, y1 in pixels of the image.
        masks: Probabilities [N, M, M] in the boxes.
        size: Height and width of the image.
    """
    return [encode_window(window, size) for window in paste_masks(boxes, masks, size)]


def paste_masks(boxes: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> Iterator[MaskWindow]:
    """Yield the window of each predicted mask; see `encode_predicted_masks` for the arguments."""
    corners = boxes.tolist()
    for mask, box, (x0, y0, x1, y1) in zip(masks, boxes, corners, strict=True):
        top, bottom = max(int(np.floor(y0)) - 1, 0), min(int(np.ceil(y1)) + 1, size[0])
        left, right = max(int(np.floor(x0)) - 1, 0), min(int(np.ceil(x1)) + 1, size[1])
        # The formulas of Detectron2's `paste_masks_in_image`, in the same order of operations.
        x = (torch.arange(left, right, device=mask.device, dtype=torch.float32) + 0.5 - box[0]) / (box[2] - box[0])
        y = (torch.arange(top, bottom, device=mask.device, dtype=torch.float32) + 0.5 - box[1]) / (box[3] - box[1])
        num_rows = max(1, _PIXELS_AT_ONCE // max(1, len(x)))
        strips = [_interpolate(mask, x * 2 - 1, rows * 2 - 1) for rows in y.split(num_rows)]
        yield MaskWindow(top, left, torch.cat(strips).cpu().numpy())


def _interpolate(mask: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return where the bilinear interpolation of `mask` [M, M] at columns `x` and rows `y`, -1..1, is foreground."""
    side = len(mask)
    # Cell (i, j) is the square between four neighbouring values; values outside of the mask are 0.
    padded = F.pad(mask, (1, 1, 1, 1))[None].float()
    is_inside = -F.max_pool2d(-padded, 2, 1)[0] >= _THRESHOLD + _MARGIN
    is_border = ~is_inside & (F.max_pool2d(padded, 2, 1)[0] > _THRESHOLD - _MARGIN)
    column = (((x + 1) * side - 1) / 2).floor().long().add(1).clamp(0, side)
    row = (((y + 1) * side - 1) / 2).floor().long().add(1).clamp(0, side)
    foreground = is_inside.index_select(1, column).index_select(0, row)
    i, j = is_border.index_select(1, column).index_select(0, row).nonzero(as_tuple=True)
    points = torch.stack([x[j], y[i]], dim=1)[None, None].to(mask.dtype)
    foreground[i, j] = F.grid_sample(mask[None, None], points, align_corners=False)[0, 0, 0] >= _THRESHOLD
    return foreground


def find_window(mask: np.ndarray) -> MaskWindow | None:
    """Return the smallest window with all foreground of a full mask, bool [H, W]; None if there is none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    top, bottom = rows[0], rows[-1] + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = columns[0], columns[-1] + 1
    return MaskWindow(int(top), int(left), mask[top:bottom, left:right])


def encode_window(window: MaskWindow | None, size: tuple[int, int]) -> dict[str, Any]:
    """Return the COCO RLE of the full mask of `size` (H, W) that has this window; None stands for an empty mask."""
    edges = np.zeros(0, np.int64)
    if window is not None:
        height, width = window.mask.shape
        padded = np.zeros((width, height + 2), bool)  # column by column, as RLE counts
        padded[:, 1:-1] = window.mask.T
        column, row = np.nonzero(padded[:, 1:] != padded[:, :-1])
        edges = (window.left + column) * size[0] + window.top + row  # start, end, start, end, ...
        # A run that ends at the bottom of a column and one that starts at the top of the next are the same run.
        is_continued = edges[1:-1:2] == edges[2::2]
        edges = edges[~np.concatenate([[False], np.repeat(is_continued, 2), [False]])] if edges.size else edges
    num_pixels = size[0] * size[1]
    counts = np.diff(edges, prepend=0, append=num_pixels)
    if edges.size and edges[-1] == num_pixels:
        counts = counts[:-1]
    return mask_util.frPyObjects({"size": list(size), "counts": counts}, *size)


def decode_window(rle: dict[str, Any], margin: int = 0) -> MaskWindow | None:
    """Return the smallest window of a compressed COCO RLE plus `margin` pixels, as far as the image has them.

    Returns:
        None for a mask without foreground.
    """
    height, width = rle["size"]
    box_left, box_top, box_width, box_height = map(int, mask_util.toBbox(rle))
    if not box_width * box_height:
        return None
    left, right = max(0, box_left - margin), min(width, box_left + box_width + margin)
    top, bottom = max(0, box_top - margin), min(height, box_top + box_height + margin)
    counts = rle["counts"].encode() if isinstance(rle["counts"], str) else rle["counts"]
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    edges = np.cumsum(run_lengths(codes)).clip(left * height, right * height)
    lengths = np.diff(edges, prepend=left * height)
    columns = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(right - left, height)
    return MaskWindow(top, left, columns.T[top:bottom])


def run_lengths(codes: np.ndarray) -> np.ndarray:
    """Return the lengths of the runs of a compressed RLE, int64, background first.

    A number is stored in characters of 5 bits, lowest first, with a flag for a further character and a sign in the last
    one. From the fourth number on, the difference to the number two before is stored.

    Args:
        codes: int64 codes of the characters, counted from that of "0".
    """
    last = np.flatnonzero(~codes & 0x20)
    first = np.concatenate([[0], last[:-1] + 1])
    num_groups = last - first + 1
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, num_groups))
    numbers = np.add.reduceat((codes & 0x1F) << shifts, first)
    numbers -= np.where(codes[last] & 0x10, 1 << 5 * num_groups, 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
