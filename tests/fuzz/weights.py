"""Mutated weight files of all formats: each is read, or refused with one sentence."""

import contextlib
import io
import pickle
import tempfile
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from eva_backbone.errors import InputError
from eva_engine.inspection.format import describe_summary
from eva_engine.inspection.summary import read_summary

STATE = {
    "blocks.0.attn.qkv.weight": torch.arange(12.0).reshape(6, 2),
    "blocks.0.attn.q_bias": torch.ones(2).half(),
    "pos_embed": torch.ones(1, 5, 2),
    "step": torch.tensor(3),
}
CONTENT = {"model": OrderedDict(STATE), "epoch": 3, "lora": {"rank": 2, "alpha": 4.0}, "lr": [0.1, None, "cosine"]}


def formats() -> dict[str, bytes]:
    """Return an intact file of every format."""
    files = {}
    for name, options in (("torch", {}), ("legacy", {"_use_new_zipfile_serialization": False})):
        file = io.BytesIO()
        torch.save(CONTENT, file, **options)
        files[name] = file.getvalue()
    arrays = {name: value.numpy() for name, value in STATE.items()}
    for protocol in (2, 5):
        files[f"pickle {protocol}"] = pickle.dumps({**CONTENT, "model": arrays}, protocol=protocol)
    files["safetensors"] = save(STATE)
    program = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), program)
    files["TorchScript"] = program.getvalue()
    return files


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, remove, repeat or insert a few bytes; most changes are in the pickle or header, at the start."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        end = len(changed) if rng.random() < 0.3 else min(len(changed), 1500)
        start = int(rng.integers(end))
        length = int(rng.integers(1, 16))
        part = changed[start : start + length]
        kind = rng.integers(5)
        if kind == 0:
            changed[start] = rng.integers(256)
        elif kind == 1:
            changed[start] ^= 1 << rng.integers(8)
        elif kind == 2:
            del changed[start : start + length]
        elif kind == 3:
            changed[start:start] = part * int(rng.integers(1, 30))
        else:
            changed[start : start + length] = rng.integers(256, size=length, dtype=np.uint8).tobytes()
    return bytes(changed) or b"\0"


def run(rounds: int, seed: int) -> None:
    """Read and summarise `rounds` mutated files; any error other than InputError is raised."""
    rng, files = np.random.default_rng(seed), formats()
    names = list(files)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.bin"
        for number in range(rounds):
            path.write_bytes(mutate(files[names[number % len(names)]], rng))
            with contextlib.suppress(InputError):
                list(describe_summary(read_summary(path)))
