"""Classify a video with an exported model; needs NumPy, Pillow and ONNX Runtime only.

The video is a folder with its frames as images, in the order of their names, because Pillow reads no videos.

    python run_model.py model.onnx frames/
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # others may start programs


def load(path: str) -> tuple[onnxruntime.InferenceSession, dict]:
    """Return a session of the model and its metadata."""
    session = onnxruntime.InferenceSession(path)
    return session, json.loads(session.get_modelmeta().custom_metadata_map["eva_vision"])


def prepare(frames: list[Path], settings: dict) -> np.ndarray:
    """Read the middle frame of each of T equal parts, crop the centre and normalise: a clip [3, T, S, S]."""
    count, size = settings["num_frames"], settings["size"]
    chosen = [frames[int((index + 0.5) * len(frames) / count)] for index in range(count)]
    pixels = []
    for file in chosen:
        image = Image.open(file, formats=FORMATS).convert("RGB")
        short, resized_side = min(image.size), int(256 / 224 * size)
        resized = [resized_side if side == short else int(side * resized_side / short) for side in image.size]
        image = image.resize(resized, Image.Resampling.BILINEAR)
        left, top = round((image.width - size) / 2), round((image.height - size) / 2)
        pixels.append(np.asarray(image.crop((left, top, left + size, top + size)), np.float32))
    clip = (np.stack(pixels) - np.float32(settings["mean"])) / np.float32(settings["std"])
    return clip.transpose(3, 0, 1, 2)


def predict(session: onnxruntime.InferenceSession, metadata: dict, frames: list[Path]) -> list[tuple[str, float]]:
    """Return the classes of a video with their probabilities, the most likely one first."""
    clip = prepare(frames, metadata["settings"])
    (logits,) = session.run(["logits"], {"pixels": clip[None]})
    exponentials = np.exp(logits[0] - logits[0].max())
    probabilities = exponentials / exponentials.sum()
    return [(metadata["class_names"][index], float(probabilities[index])) for index in np.argsort(-probabilities)]


if __name__ == "__main__":
    model, info = load(sys.argv[1])
    for folder in sys.argv[2:]:
        files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        best = ", ".join(f"{label} {score:.1%}" for label, score in predict(model, info, files)[:5])
        print(f"{folder}: {best}")
