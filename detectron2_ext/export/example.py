"""Detect objects in an image with an exported model; needs NumPy, Pillow and ONNX Runtime only.

python run_model.py model.onnx photo.jpg drawn.jpg
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # others may start programs


def load(path: str) -> tuple[onnxruntime.InferenceSession, dict]:
    """Return a session of the model and its metadata."""
    session = onnxruntime.InferenceSession(path)
    return session, json.loads(session.get_modelmeta().custom_metadata_map["eva_vision"])


def resized_size(width: int, height: int, resize: dict) -> tuple[int, int]:
    """Return (width, height) of an image for the model."""
    if "height" in resize:
        return resize["width"], resize["height"]
    factor = resize["short_edge_length"] / min(width, height)
    factor = min(factor, resize["max_size"] / max(width, height))
    return max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)


def detect(session: onnxruntime.InferenceSession, metadata: dict, image: Image.Image, threshold: float) -> list[dict]:
    """Return the objects in an RGB image with at least a score of `threshold`, best first.

    Each has a class name, a score, a box (x0, y0, x1, y1) in pixels and, if the model predicts masks, a mask, bool
    [H, W].
    """
    settings = metadata["settings"]
    width, height = resized_size(*image.size, settings["resize"])
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    if settings["image_format"] == "BGR":
        pixels = pixels[:, :, ::-1]
    side = settings["square_size"]
    padded = np.zeros((1, 3, side, side), np.float32)
    padded[0, :, :height, :width] = pixels.transpose(2, 0, 1)
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {"images": padded, "sizes": np.array([[height, width]], np.int64)})
    outputs = {name: value[0] for name, value in zip(names, values, strict=True)}
    scale = np.array([image.width / width, image.height / height] * 2)
    found = []
    for row in np.flatnonzero(outputs["is_valid"] & (outputs["scores"] >= threshold)):
        box = outputs["boxes"][row] * scale
        name = metadata["class_names"][outputs["classes"][row]]
        item = {"name": name, "score": float(outputs["scores"][row]), "box": box.tolist()}
        if "masks" in outputs:
            item["mask"] = paste(outputs["masks"][row], box, image.size)
        found.append(item)
    return found


def paste(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the mask of the image, bool [H, W], of the probabilities [M, M] in a box."""
    full = np.zeros((size[1], size[0]), bool)
    x0, y0, x1, y1 = box
    left, top, right, bottom = int(x0), int(y0), min(int(np.ceil(x1)), size[0]), min(int(np.ceil(y1)), size[1])
    if right <= left or bottom <= top:
        return full
    # Positions of the pixels' centres in the mask; outside of it there is nothing.
    padded = np.pad(mask, 1)
    columns = (np.arange(left, right) + 0.5 - x0) / (x1 - x0) * mask.shape[1] + 0.5
    rows = (np.arange(top, bottom) + 0.5 - y0) / (y1 - y0) * mask.shape[0] + 0.5
    across = interpolate(padded, columns, axis=1)
    full[top:bottom, left:right] = interpolate(across, rows, axis=0) >= 0.5
    return full


def interpolate(values: np.ndarray, positions: np.ndarray, axis: int) -> np.ndarray:
    """Return values at fractional positions along an axis, linearly interpolated."""
    first = np.clip(np.floor(positions).astype(int), 0, values.shape[axis] - 2)
    shape = [1, 1]
    shape[axis] = len(positions)
    part = np.clip(positions - first, 0, 1).reshape(shape)
    return values.take(first, axis) * (1 - part) + values.take(first + 1, axis) * part


if __name__ == "__main__":
    model, info = load(sys.argv[1])
    photo = ImageOps.exif_transpose(Image.open(sys.argv[2], formats=FORMATS)).convert("RGB")
    objects = detect(model, info, photo, threshold=0.5)
    pen = ImageDraw.Draw(photo)
    for item in objects:
        print(f"{item['name']}: {item['score']:.3f} at {[round(value) for value in item['box']]}")
        pen.rectangle(item["box"], outline="red", width=3)
    if len(sys.argv) > 3:
        photo.save(sys.argv[3])
