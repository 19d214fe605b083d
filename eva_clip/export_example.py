"""Compare images with texts by an exported EVA-CLIP; needs NumPy, Pillow and ONNX Runtime only.

The texts are those whose token ids are in the metadata of the file. For other texts, compute the ids once with
`eva_clip.get_tokenizer`, or with any tokenizer of OpenAI's CLIP.

    python run_model.py image_tower.onnx text_tower.onnx photo.jpg more.jpg
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")  # others may start programs


def load(path: str) -> tuple[onnxruntime.InferenceSession, dict]:
    """Return a session of one tower and its metadata."""
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


def image_features(session: onnxruntime.InferenceSession, metadata: dict, images: list[Image.Image]) -> np.ndarray:
    """Return features of images, [N, D] of length 1."""
    pixels = np.stack([prepare(image, metadata["settings"]["transform"]) for image in images])
    return session.run(["features"], {"pixels": pixels})[0]


def text_features(session: onnxruntime.InferenceSession, token_ids: list[list[int]]) -> np.ndarray:
    """Return features of texts, [N, D] of length 1."""
    return session.run(["features"], {"token_ids": np.array(token_ids, np.int64)})[0]


if __name__ == "__main__":
    (image_tower, info), (text_tower, _) = load(sys.argv[1]), load(sys.argv[2])
    texts = info["settings"]["texts"]
    cosines = image_features(image_tower, info, [Image.open(name, formats=FORMATS) for name in sys.argv[3:]])
    cosines = cosines @ text_features(text_tower, [entry["ids"] for entry in texts]).T
    logits = np.exp(info["settings"]["logit_scale"]) * cosines
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    for name, row in zip(sys.argv[3:], probabilities, strict=True):
        best = ", ".join(f"{texts[index]['text']!r} {row[index]:.1%}" for index in np.argsort(-row)[:3])
        print(f"{name}: {best}")
