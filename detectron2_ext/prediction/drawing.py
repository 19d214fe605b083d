"""Detections drawn over a picture: translucent masks with an outline, boxes, and labels that stay readable."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Instances
from PIL import Image, ImageDraw

from eva_engine.prediction.colors import Color, palette_color
from eva_engine.prediction.fonts import plain_font


def draw_instances(
    image: np.ndarray,
    instances: Instances,
    class_names: Sequence[str] = (),
    *,
    color_by: str = "instance",
    labels: bool = True,
    mask_opacity: float = 0.4,
) -> np.ndarray:
    """Draw detections (or ground truth put into the same fields) over a picture.

    Args:
        image: [H, W, 3] uint8 RGB; left unchanged.
        instances: on any device, in the pixels of ``image``; every field is optional: ``pred_boxes`` (x0, y0, x1, y1),
            ``pred_classes``, ``scores`` and masks, either ``pred_masks`` [N, H, W] bool or ``pred_masks_rle``
            (COCO run lengths, as :class:`Predictor` returns them). Without scores the label is the class name alone.
        class_names: name of each class index; an index beyond the list is labelled ``class 17``.
        color_by: ``"instance"`` tells neighbours of one class apart; ``"class"`` keeps a colour from frame to frame.
        labels: whether to write "name 93%" at each box.
        mask_opacity: 0 (outline only) .. 1.

    Returns:
        [H, W, 3] uint8 RGB, a new array.
    """
    canvas = np.array(image, dtype=np.uint8, order="C")
    count = len(instances)
    if count == 0:
        return canvas
    classes = instances.pred_classes.tolist() if instances.has("pred_classes") else None
    scores = instances.scores.tolist() if instances.has("scores") else None
    boxes = instances.pred_boxes.tensor.cpu().numpy() if instances.has("pred_boxes") else None
    colors = [palette_color(classes[i] if color_by == "class" and classes else i) for i in range(count)]
    width = max(1, round(min(canvas.shape[:2]) / 400))

    for index, y, x, mask in _mask_crops(instances, canvas.shape[:2], margin=width):
        _blend_mask(canvas[y : y + mask.shape[0], x : x + mask.shape[1]], mask, colors[index], mask_opacity, width)
    if boxes is not None:
        for box, color in zip(boxes, colors, strict=True):
            x0, y0, x1, y1 = (int(v) for v in np.rint(np.nan_to_num(box)))
            cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), color, width)
        if labels:
            names = [_label(classes, scores, class_names, i) for i in range(count)]
            order = np.argsort([-s for s in scores], kind="stable") if scores else range(count)
            canvas = _draw_labels(canvas, [(boxes[i], names[i], colors[i]) for i in order if names[i]])
    return canvas


def _mask_crops(instances: Instances, size: tuple[int, int], margin: int) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """(index, top, left, bool crop) of each non-empty mask, one at a time; large ones first, small ones lie on top.

    The crops have ``margin`` pixels around the mask, where the picture has them, for the outline.
    """
    coded = instances.has("pred_masks_rle")
    if coded:
        areas = mask_util.area(instances.pred_masks_rle)
    elif instances.has("pred_masks"):
        areas = [int(mask.sum()) for mask in instances.pred_masks]
    else:
        return
    for index in np.argsort(-np.asarray(areas, dtype=np.int64), kind="stable").tolist():
        if coded:
            mask = mask_util.decode(instances.pred_masks_rle[index]).astype(bool)
        else:
            mask = torch.as_tensor(instances.pred_masks[index]).cpu().numpy().astype(bool)
        if mask.shape != size:
            raise ValueError(f"mask {index} has {mask.shape} pixels, the picture has {size}")
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size:
            top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
            yield index, top, left, mask[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin]


def _blend_mask(area: np.ndarray, mask: np.ndarray, color: Color, opacity: float, width: int) -> None:
    inside = area[mask]
    area[mask] = np.rint(inside * (1 - opacity) + np.array(color) * opacity).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlined = np.ascontiguousarray(area)  # OpenCV does not draw into a strided view
    cv2.drawContours(outlined, contours, -1, color, width, cv2.LINE_AA)
    area[:] = outlined


def _label(classes: list[int] | None, scores: list[float] | None, class_names: Sequence[str], index: int) -> str:
    parts = []
    if classes is not None:
        known = classes[index] < len(class_names)
        parts.append(class_names[classes[index]] if known else f"class {classes[index]}")
    if scores is not None:
        parts.append(f"{scores[index]:.0%}")
    return " ".join(parts)


def _draw_labels(canvas: np.ndarray, labels: list[tuple[np.ndarray, str, Color]]) -> np.ndarray:
    """Labels on plates of the instance's colour; the first (surest) get the best places."""
    height, width = canvas.shape[:2]
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = plain_font(int(np.clip(round(min(height, width) / 42), 11, 40)))
    ascent, descent = font.getmetrics()
    pad = max(1, ascent // 6)
    placed: list[tuple[float, float, float, float]] = []
    for (x0, y0, _, y1), text, color in labels:
        plate_w, plate_h = int(font.getlength(text)) + 2 * pad, ascent + descent
        left = float(np.clip(x0, 0, max(0, width - plate_w)))
        tops = [float(np.clip(top, 0, max(0, height - plate_h))) for top in (y0 - plate_h, y0, y1, y1 - plate_h)]
        plates = [(left, top, left + plate_w, top + plate_h) for top in tops]
        plate = next((p for p in plates if not any(_overlap(p, other) for other in placed)), plates[0])
        placed.append(plate)
        draw.rectangle(plate, fill=color)
        luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
        draw.text((plate[0] + pad, plate[1]), text, fill=(0, 0, 0) if luminance > 120 else (255, 255, 255), font=font)
    return np.array(picture)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
