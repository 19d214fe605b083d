"""Segment an image with an exported model; needs NumPy, Pillow and ONNX Runtime only.

python run_model.py model.onnx photo.jpg classes.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # others may start programs


def load(path: str) -> tuple[onnxruntime.InferenceSession, dict]:
    """Return a session of the model and its metadata."""
    session = onnxruntime.InferenceSession(path)
    return session, json.loads(session.get_modelmeta().custom_metadata_map["eva_vision"])


def resized_size(width: int, height: int, settings: dict) -> tuple[int, int]:
    """Return (width, height) of an image for the model: within both limits, rounded up to a multiple of the divisor."""
    factor = settings["short_side"] / min(width, height)
    if settings["long_side"] is not None:
        factor = min(factor, settings["long_side"] / max(width, height))
    divisor = settings["divisor"]
    return tuple(-(-max(int(side * factor + 0.5), 1) // divisor) * divisor for side in (width, height))


def starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along an axis; the last window ends at the border."""
    count = max(-(-(length - window) // stride), 0) + 1
    return [max(min(index * stride, length - window), 0) for index in range(count)]


def resize(scores: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize maps [K, h, w] bilinearly to [K, height, width]."""
    resized = []
    for one in scores.astype(np.float32):
        resized.append(np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(resized)


def segment(session: onnxruntime.InferenceSession, metadata: dict, image: Image.Image) -> np.ndarray:
    """Return the class of every pixel of an image, [H, W]."""
    settings = metadata["settings"]
    image = ImageOps.exif_transpose(image).convert("RGB")
    width, height = resized_size(*image.size, settings)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    pixels = np.pad(pixels, [(0, max(settings["min_side"] - side, 0)) for side in (height, width)] + [(0, 0)])
    pixels = ((pixels - np.float32(settings["mean"])) / np.float32(settings["std"])).transpose(2, 0, 1)
    rows, columns = pixels.shape[1:]
    window_rows, window_columns = settings["window"] or (rows, columns)
    expected = session.get_inputs()[0].shape[2:]
    total = np.zeros((settings["num_classes"], rows, columns), np.float32)
    counts = np.zeros((rows, columns), np.float32)
    for top in starts(rows, min(window_rows, rows), settings["stride"][0]):
        for left in starts(columns, min(window_columns, columns), settings["stride"][1]):
            window = pixels[:, top : top + window_rows, left : left + window_columns]
            size = window.shape[1:]
            sides = [
                side if isinstance(side, int) else -(-own // 32) * 32 for side, own in zip(expected, size, strict=True)
            ]
            padded = np.pad(window, [(0, 0), (0, sides[0] - size[0]), (0, sides[1] - size[1])])
            (scores,) = session.run(["scores"], {"pixels": padded[None]})
            part = resize(scores[0], sides[1], sides[0])[:, : size[0], : size[1]]
            total[:, top : top + size[0], left : left + size[1]] += part
            counts[top : top + size[0], left : left + size[1]] += 1
    averaged = (total / counts)[:, :height, :width]
    return resize(averaged, *image.size).argmax(0).astype(np.uint8)


if __name__ == "__main__":
    model, info = load(sys.argv[1])
    labels = segment(model, info, Image.open(sys.argv[2], formats=FORMATS))
    for index, name in enumerate(info["class_names"]):
        print(f"{name}: {(labels == index).mean():.1%}")
    if len(sys.argv) > 3:
        Image.fromarray(labels).save(sys.argv[3])
