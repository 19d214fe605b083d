"""Masks of large images, handled in the window around each object: encode, decode, crop.

The time for a mask depends on the size of its object and not on that of the image, and every result is exactly that of
the same operation on the full mask.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_util
import torch
import torch.nn.functional as F
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances

_THRESHOLD = 0.5  # of Detectron2's `detector_postprocess`
# Pixels at which the interpolated mask is this far from the threshold need not be computed as Detectron2 does. The
# margins are far above the rounding errors: the one for float32, and the one for float16 and bfloat16.
_MARGINS = {torch.float32: 1e-3}
_MARGIN = 0.05


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
    return [encode_predicted_mask(box, mask, size) for box, mask in zip(boxes, masks, strict=True)]


def encode_predicted_mask(
    box: torch.Tensor,
    mask: torch.Tensor,
    size: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
    image_size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return the COCO RLE of one predicted mask; see `encode_predicted_masks`.

    The mask is not pasted. Along a column of the image the interpolation is linear between the centres of the mask's
    values. Thus only the pixels near the crossings of the threshold have to be computed, exactly as Detectron2 does.

    Args:
        box: Box [4] in pixels.
        mask: Probabilities [M, M] in the box.
        size: Height and width of the image, or of the part of an image, in which the box is.
        origin: Row and column of that part in the image.
        image_size: Height and width of the image, if `size` is that of a part.
    """
    x0, y0, x1, y1 = box.tolist()
    top, bottom = max(int(np.floor(y0)) - 1, 0), min(int(np.ceil(y1)) + 1, size[0])
    left, right = max(int(np.floor(x0)) - 1, 0), min(int(np.ceil(x1)) + 1, size[1])
    # The formulas of Detectron2's `paste_masks_in_image`, in the same order of operations.
    x = (torch.arange(left, right, device=mask.device, dtype=torch.float32) + 0.5 - box[0]) / (box[2] - box[0])
    y = (torch.arange(top, bottom, device=mask.device, dtype=torch.float32) + 0.5 - box[1]) / (box[3] - box[1])
    x, y = x * 2 - 1, y * 2 - 1
    height = len(y)
    # Number of a pixel in the window: column * (height + 1) + row; the row `height` below the window is background.
    edges_of_columns = np.arange(len(x))[:, None] * (height + 1) + [0, height]
    pixels = np.sort(np.concatenate([edges_of_columns.ravel(), _pixels_near_threshold(mask, x, y)]))
    pixels = pixels[np.diff(pixels, prepend=-1) > 0]  # cells next to each other have pixels in common
    column, row = np.divmod(pixels, height + 1)
    is_inside = row < height
    points = torch.stack([x[column[is_inside]], y[row[is_inside]]], dim=1)[None, None].to(mask.dtype)
    values = F.grid_sample(mask[None, None], points, align_corners=False)[0, 0, 0]
    foreground = np.zeros(len(pixels), bool)
    foreground[is_inside] = (values >= _THRESHOLD).cpu().numpy()
    # Pixels that were not computed are like those before them.
    edges = np.flatnonzero(np.diff(foreground, prepend=False))
    image_size = image_size or size
    column, row = column[edges] + left + origin[1], row[edges] + top + origin[0]
    return _encode_edges(column * image_size[0] + row, image_size)


def _pixels_near_threshold(mask: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Return the numbers of all pixels whose foreground can differ from that of the pixel above, and their neighbours.

    Args:
        mask: Probabilities [M, M].
        x, y: Coordinates of the columns and rows in the mask, -1..1.
    """
    side, height = len(mask), len(y)
    margin = _MARGINS.get(mask.dtype, _MARGIN)
    values = np.zeros((side + 2, side + 2))  # outside of the mask they are 0
    values[1:-1, 1:-1] = mask.double().cpu()
    columns, rows = (((v.double().cpu().numpy() + 1) * side + 1) / 2 for v in (x, y))  # positions in `values`
    cells = np.floor(columns).clip(0, side).astype(int)
    fractions = (columns - cells).clip(0, 1)
    # The interpolation at each column and each row of `values`; between two of these rows it is linear.
    knots = values[:, cells] * (1 - fractions) + values[:, cells + 1] * fractions
    low, high = np.minimum(knots[:-1], knots[1:]), np.maximum(knots[:-1], knots[1:])
    is_same = (low >= _THRESHOLD + margin) | (high <= _THRESHOLD - margin)
    cell, column = np.nonzero(~is_same)  # also where a value is not a number
    first, last = knots[cell, column], knots[cell + 1, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = (_THRESHOLD - first + [[-margin], [margin]]) / (last - first)
    begin = np.nan_to_num(ends.min(axis=0), nan=0.0).clip(0, 1)
    end = np.nan_to_num(ends.max(axis=0), nan=1.0).clip(0, 1)
    step = (rows[-1] - rows[0]) / max(1, height - 1) or 1.0
    start = (np.floor((cell + begin - rows[0]) / step) - 1).clip(0, height).astype(int)
    stop = (np.ceil((cell + end - rows[0]) / step) + 2).clip(0, height).astype(int)
    lengths = stop - start
    before = np.cumsum(lengths) - lengths
    return np.repeat(column * (height + 1) + start - before, lengths) + np.arange(lengths.sum())


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
    if window is None:
        return _encode_edges(np.zeros(0, np.int64), size)
    height, width = window.mask.shape
    padded = np.zeros((width, height + 2), bool)  # column by column, as RLE counts
    padded[:, 1:-1] = window.mask.T
    column, row = np.nonzero(padded[:, 1:] != padded[:, :-1])
    return _encode_edges((window.left + column) * size[0] + window.top + row, size)


def _encode_edges(edges: np.ndarray, size: tuple[int, int]) -> dict[str, Any]:
    """Return the COCO RLE of a mask of `size` (H, W) with runs of foreground at start, end, start, end, ...

    Pixels are counted column by column. A run that ends at the bottom of a column may continue in the next one.
    """
    if edges.size:
        is_continued = edges[1:-1:2] == edges[2::2]
        edges = edges[~np.concatenate([[False], np.repeat(is_continued, 2), [False]])]
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
