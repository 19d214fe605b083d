"""Synthetic images with captions: image files and tar shards."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ("red", "green", "blue")


def image_bytes(number: int, kind: str = "PNG") -> bytes:
    """Encode a rectangle of one of three colours."""
    pixels = np.zeros((20, 24, 3), dtype=np.uint8)
    pixels[..., number % 3] = 255 - number
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def caption(number: int) -> str:
    return f"a {COLOURS[number % 3]} square"


def write_images(folder: Path, num_images: int = 6) -> Path:
    """Write 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_images):
        (folder / f"{number}.png").write_bytes(image_bytes(number))
    return folder


def write_shard(file: Path, members: dict[str, bytes | str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def pair_members(numbers: range) -> dict[str, bytes | str]:
    """Return pairs in the WebDataset layout, some with a text file and some with JSON."""
    members: dict[str, bytes | str] = {}
    for number in numbers:
        members[f"{number:05}.jpg"] = image_bytes(number, "JPEG")
        if number % 2:
            members[f"{number:05}.json"] = json.dumps({"caption": caption(number), "width": 24})
        else:
            members[f"{number:05}.txt"] = caption(number)
    return members
