"""Classify images with an exported model; needs NumPy, Pillow and ONNX Runtime only.

python run_model.py model.onnx photo.jpg more.jpg
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


def prepare(image: Image.Image, transform: dict) -> np.ndarray:
    """Resize the shorter side, crop the centre and normalise: pixels [3, S, S]."""
    image = ImageOps.exif_transpose(image).convert("RGB")
    short, size = min(image.size), transform["resize"]
    resized = [size if side == short else int(size * side / short) for side in image.size]
    image = image.resize(resized, Image.Resampling[transform["interpolation"].upper()])
    height, width = transform["crop"]
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    pixels = np.asarray(image.crop((left, top, left + width, top + height)), np.float32) / 255
    pixels = (pixels - np.float32(transform["mean"])) / np.float32(transform["std"])
    return pixels.transpose(2, 0, 1)


def predict(session: onnxruntime.InferenceSession, metadata: dict, image: Image.Image) -> list[tuple[str, float]]:
    """Return the classes of an image with their probabilities, the most likely one first."""
    pixels = prepare(image, metadata["settings"]["transform"])
    (logits,) = session.run(["logits"], {"pixels": pixels[None]})
    exponentials = np.exp(logits[0] - logits[0].max())
    probabilities = exponentials / exponentials.sum()
    return [(metadata["class_names"][index], float(probabilities[index])) for index in np.argsort(-probabilities)]


if __name__ == "__main__":
    model, info = load(sys.argv[1])
    for name in sys.argv[2:]:
        best = ", ".join(
            f"{label} {score:.1%}" for label, score in predict(model, info, Image.open(name, formats=FORMATS))[:5]
        )
        print(f"{name}: {best}")
