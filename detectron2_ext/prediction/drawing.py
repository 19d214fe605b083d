"""Draw detections over an image: translucent masks with outlines, boxes and legible labels."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Instances
from PIL import Image, ImageDraw

from eva_engine.prediction.colors import Color, palette_color
from eva_engine.prediction.fonts import default_font

from ..mask_windows import decode_window, encode_window, find_window

_WITHOUT_TRACK: Color = (150, 150, 150)
Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


def draw_instances(
    image: np.ndarray,
    instances: Instances,
    class_names: Sequence[str] = (),
    *,
    color_by: str = "instance",
    labels: bool = True,
    mask_opacity: float = 0.4,
) -> np.ndarray:
    """Draw detections, or ground truth stored in the same fields, over an image.

    Args:
        image: uint8 RGB [H, W, 3]; not modified.
        instances: Instances on any device, in the pixels of `image`. Every field is optional: `pred_boxes`
            (x0, y0, x1, y1), `pred_classes`, `scores` and masks, either `pred_masks` bool [N, H, W] or `pred_masks_rle`
            (COCO RLE, as `DetectionPredictor` returns them). Without scores the label is the class name alone. With
            `track_ids` the label begins with the identity, except where it is 0.
        class_names: Name of each class index; an index beyond the list is labelled "class 17".
        color_by: "instance" gives neighbours of the same class different colours; "class" keeps the colour of a class
            from frame to frame, and "track" that of an identity; objects without one are grey.
        labels: Whether to write "name 93%" or "#12 name 93%" at each box.
        mask_opacity: Opacity of the masks, from 0 (outline only) to 1.

    Returns:
        uint8 RGB [H, W, 3], a new array.

    Raises:
        ValueError: A mask is not of the size of `image`.
    """
    canvas = np.array(image, dtype=np.uint8, order="C")
    count = len(instances)
    if count == 0:
        return canvas
    classes = _field(instances, "pred_classes")
    scores = _field(instances, "scores")
    tracks = _field(instances, "track_ids")
    colors = _object_colors(count, color_by, classes, tracks)
    line_width = max(1, round(min(canvas.shape[:2]) / 400))

    for index, y, x, mask in _mask_crops(instances, canvas.shape[:2], margin=line_width):
        region = canvas[y : y + mask.shape[0], x : x + mask.shape[1]]
        _blend_mask(region, mask, colors[index], mask_opacity, line_width)
    if not instances.has("pred_boxes"):
        return canvas
    boxes = instances.pred_boxes.tensor.cpu().numpy()
    for box, color in zip(boxes, colors, strict=True):
        x0, y0, x1, y1 = (int(v) for v in np.rint(np.nan_to_num(box)))
        # Box corners are exclusive, OpenCV's second corner is inclusive.
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), color, line_width)
    if labels:
        texts = [_label_text(classes, scores, tracks, class_names, i) for i in range(count)]
        order: Sequence[int] = range(count)
        if scores is not None:
            order = np.argsort([-score for score in scores], kind="stable").tolist()
        canvas = _draw_labels(canvas, [(boxes[i], texts[i], colors[i]) for i in order if texts[i]])
    return canvas


def _field(instances: Instances, name: str) -> list | None:
    """Return the values of a field of tensors, or None."""
    return instances.get(name).tolist() if instances.has(name) else None


def _object_colors(count: int, color_by: str, classes: list[int] | None, tracks: list[int] | None) -> list[Color]:
    if color_by == "track" and tracks is not None:
        colors = []
        for track in tracks:
            colors.append(palette_color(track) if track else _WITHOUT_TRACK)
        return colors
    if color_by == "class" and classes is not None:
        return [palette_color(index) for index in classes]
    return [palette_color(index) for index in range(count)]


def _mask_crops(instances: Instances, size: tuple[int, int], margin: int) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Yield (index, top, left, bool crop) of each non-empty mask, large masks first so that small ones stay visible.

    Masks are decoded one at a time. Where the image allows it, the crop has `margin` pixels around the mask, which the
    outline needs.
    """
    if instances.has("pred_masks_rle"):
        masks = instances.pred_masks_rle
    elif instances.has("pred_masks"):
        full_masks = (torch.as_tensor(mask).cpu().numpy().astype(bool) for mask in instances.pred_masks)
        masks = [encode_window(find_window(mask), mask.shape) for mask in full_masks]
    else:
        return
    areas = [int(mask_util.area(mask)) for mask in masks]  # of a list, pycocotools fails with more than 255 masks
    for index in np.argsort(-np.asarray(areas, dtype=np.int64), kind="stable").tolist():
        if tuple(masks[index]["size"]) != size:
            raise ValueError(f"mask {index} has {tuple(masks[index]['size'])} pixels, the image has {size}")
        window = decode_window(masks[index], margin)
        if window is not None:
            yield index, *window


def _blend_mask(region: np.ndarray, mask: np.ndarray, color: Color, opacity: float, line_width: int) -> None:
    """Tint and outline `mask` in `region`, a view of the canvas of the same size."""
    # A table of the 256 values of each channel is much faster than arithmetic on the pixels.
    values = np.arange(256)[:, None] * (1 - opacity) + np.array(color) * opacity
    tinted = cv2.LUT(region, np.rint(values).astype(np.uint8)[None])
    cv2.copyTo(tinted, mask.view(np.uint8), region)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlined = np.ascontiguousarray(region)  # OpenCV cannot draw into a strided view
    cv2.drawContours(outlined, contours, -1, color, line_width, cv2.LINE_AA)
    region[:] = outlined


def _label_text(
    classes: list[int] | None,
    scores: list[float] | None,
    tracks: list[int] | None,
    class_names: Sequence[str],
    index: int,
) -> str:
    parts = []
    if tracks is not None and tracks[index]:
        parts.append(f"#{tracks[index]}")
    if classes is not None:
        class_index = classes[index]
        parts.append(class_names[class_index] if class_index < len(class_names) else f"class {class_index}")
    if scores is not None:
        parts.append(f"{scores[index]:.0%}")
    return " ".join(parts)


def _draw_labels(canvas: np.ndarray, labels: list[tuple[np.ndarray, str, Color]]) -> np.ndarray:
    """Write (box, text, color) labels on filled rectangles; the first labels get the best positions."""
    height, width = canvas.shape[:2]
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    font = default_font(int(np.clip(round(min(height, width) / 42), 11, 40)))
    ascent, descent = font.getmetrics()
    padding = max(1, ascent // 6)
    plate_height = ascent + descent
    plates = np.zeros((len(labels), 4))
    for number, ((x0, y0, _, y1), text, color) in enumerate(labels):
        plate_width = int(font.getlength(text)) + 2 * padding
        left = float(np.clip(x0, 0, max(0, width - plate_width)))
        # In order of preference: above the box, inside its top, below the box, inside its bottom.
        tops = np.clip([y0 - plate_height, y0, y1, y1 - plate_height], 0, max(0, height - plate_height))
        candidates = [(left, float(top), left + plate_width, float(top) + plate_height) for top in tops]
        plate = _first_free(candidates, plates[:number])
        plates[number] = plate
        draw.rectangle(plate, fill=color)
        # Rec. 601 luma: black text on light plates, white text on dark ones.
        luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
        text_color = (0, 0, 0) if luma > 120 else (255, 255, 255)
        draw.text((plate[0] + padding, plate[1]), text, fill=text_color, font=font)
    return np.array(image)


def _first_free(candidates: Sequence[Rectangle], occupied: np.ndarray) -> Rectangle:
    """Return the first candidate that overlaps none of the `occupied` rectangles [N, 4], else the first candidate."""
    for candidate in candidates:
        left, top, right, bottom = candidate
        x0, y0, x1, y1 = occupied.T
        if not ((left < x1) & (x0 < right) & (top < y1) & (y0 < bottom)).any():
            return candidate
    return candidates[0]
