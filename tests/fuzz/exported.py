"""Mutated exported models of all formats: their metadata are read, or refused with one sentence."""

import contextlib
import io
import tempfile
import zipfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from eva_backbone.errors import InputError
from eva_deploy.metadata import ENTRY, Metadata
from eva_deploy.opening import describe

GRAPH = {"inputs": [{"name": "pixels", "shape": ["batch", 3, 8, 8], "dtype": "float32"}], "outputs": ["logits"]}


def metadata(format_name: str) -> str:
    return Metadata(
        task="classification",
        format=format_name,
        dtype="float32",
        graph="model",
        graphs={"model": GRAPH},
        class_names=("cat", "dog"),
        settings={"num_classes": 2},
        recipe="model: {num_classes: 2}\n",
        project="0.2.0",
        details={"opset": 20},
    ).to_json()


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def formats() -> dict[str, bytes]:
    """Return an intact file of every format, by suffix; their graphs are never read here."""
    entry = field(1, ENTRY.encode()) + field(2, metadata("onnx").encode())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/version", "0")
        file.writestr(f"model/extra/{ENTRY}", metadata("torch"))
    xml = f'<net name="model"><layers/><rt_info><{ENTRY} value={quoteattr(metadata("openvino"))}/></rt_info></net>'
    return {
        ".onnx": varint(8) + varint(10) + field(7, b"\n" * 300) + field(14, entry),
        ".xml": xml.encode(),
        ".pt2": archive.getvalue(),
    }


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, remove or repeat a few bytes."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        start, length = int(rng.integers(len(changed))), int(rng.integers(1, 16))
        kind = rng.integers(3)
        if kind == 0:
            changed[start] = rng.integers(256)
        elif kind == 1:
            del changed[start : start + length]
        else:
            changed[start:start] = changed[start : start + length] * int(rng.integers(1, 30))
    return bytes(changed) or b"\0"


def run(rounds: int, seed: int) -> None:
    """Read the metadata of `rounds` mutated files; any error other than InputError is raised."""
    rng, files = np.random.default_rng(seed), formats()
    suffixes = list(files)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            suffix = suffixes[number % len(suffixes)]
            path = Path(folder, "model").with_suffix(suffix)
            path.write_bytes(mutate(files[suffix], rng))
            with contextlib.suppress(InputError):
                list(describe(path))
