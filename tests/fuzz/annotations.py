"""Mutate a small COCO file: every result is read by training and evaluation, or refused with an InputError."""

import copy
import json
import random
import tempfile
from pathlib import Path

from PIL import Image
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import load_coco_json
from detectron2_ext.evaluation.ground_truth import read_ground_truth
from eva_backbone.errors import InputError

VALUES = (
    None,
    True,
    0,
    -1,
    1.0,
    0.5,
    2**31,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "${x}",
)
CONTAINERS = ([], {}, [[]], [0, 0, 9, 0, 9, 9], [[0, 0, 1e6, 1e6] * 50], {"size": [HEIGHT, WIDTH], "counts": "o" * 99})


def run(rounds: int, seed: int) -> None:
    """Read `rounds` mutated files.

    Args:
        rounds: Number of files.
        seed: Seed of the mutations.
    """
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for letter in "abc":
            Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{letter}.png")
        for _ in range(rounds):
            (folder / "boxes.json").write_bytes(_mutated(rng))
            read(folder / "boxes.json", folder)


def read(json_file: Path, folder: Path) -> list[str]:
    """Read one file in every way and return the messages of the errors."""
    messages = []
    for on_error in ("stop", "skip"):
        for reader in (
            lambda on_error: load_coco_json(json_file, folder, "fuzzed", on_error=on_error),
            lambda on_error: [
                read_ground_truth(json_file, on_error=on_error).annotations_for(t) for t in ("bbox", "segm")
            ],
        ):
            try:
                reader(on_error)
            except InputError as error:
                messages.append(str(error))
    return messages


def _mutated(rng: random.Random) -> bytes:
    content = coco_content()
    for _ in range(rng.randint(1, 4)):
        _mutate_value(rng, content)
    data = json.dumps(content).encode()
    if rng.random() < 0.2:
        position = rng.randrange(len(data))
        data = rng.choice([data[:position], data[:position] + rng.randbytes(3) + data[position + 3 :]])
    return data


def _mutate_value(rng: random.Random, content: dict) -> None:
    """Replace, remove or repeat one value at a random depth."""
    node: dict | list = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = rng.choice(keys)
        child = node[key]
        if isinstance(child, dict | list) and rng.random() < 0.9:
            node = child
            continue
        action = rng.random()
        if action < 0.1:
            del node[key]
        elif action < 0.2 and isinstance(node, list):
            node.append(child)
        elif action < 0.35:
            node[key] = copy.deepcopy(rng.choice(CONTAINERS))  # it may be mutated in turn
        elif action < 0.5 and isinstance(child, int):
            node[key] = child + rng.choice([-1, 1, 100, 10**6])
        else:
            node[key] = rng.choice(VALUES)
        return
