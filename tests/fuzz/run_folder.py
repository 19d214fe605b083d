"""Mutate the files of a run folder that are read back: each must load or be refused in one sentence."""

import json
import random
import string
import tempfile
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.config import load_config, save_config
from eva_engine.prediction import read_categories
from eva_engine.report import read_curves
from eva_engine.training.monitoring import MetricsFile, read_evaluations

RECIPE = Path(__file__).parents[2] / "projects/Classification/configs/demo/mnist_scratch.py"
CATEGORIES = {"categories": [{"id": 3, "name": "a"}, {"id": 7, "name": "b"}]}
METRICS = [{"iteration": 9, "total_loss": 0.5, "lr": 0.1}, {"iteration": 9, "digits/top1": 81.5}]
PIECES = [
    *("[", "]", "{", "}", ":", ",", "\n", "- ", "'", '"', "\\", "${", "}", "&a ", "*a", "?", "null", "nan", ".inf"),
    *("1e999", "-1", "9" * 400, "\x00", "\ud800", "\xff", "[" * 3000, "<<: {a: 1}", "???", "${oc.env:HOME}"),
    *("!!python/name:os.system ''", "!!python/object/apply:os.system [x]", "_target_", "_target_: os.system"),
    *("${model}", "${train.seed}"),
]


def run(rounds: int, seed: int) -> None:
    """Try `rounds` mutations of each file; raises whatever is not a refusal."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_config(load_config(str(RECIPE)), folder / "config.yaml")
        config = (folder / "config.yaml").read_bytes()
        metrics = b"".join(json.dumps(record).encode() + b"\n" for record in METRICS)
        for _ in range(rounds):
            _try(folder / "config.yaml", config, generator, load_config)
            _try(folder / "metrics.json", metrics, generator, read_curves)
            assert all("iteration" in record for record in read_evaluations(folder / "metrics.json", 10))
            MetricsFile(folder / "metrics.json", 10).close()
            read_curves(folder / "metrics.json")  # damaged lines were dropped
            _try(folder / "categories.json", json.dumps(CATEGORIES).encode(), generator, read_categories)
            _try(folder / "classes.txt", b"cat\ndog\n", generator, read_categories)
            _try(
                folder / "last_checkpoint", b"model_0000009.pth", generator, lambda path: RunFolder(path.parent).last()
            )
            RunFolder(folder).checkpoints()


def _try(path: Path, content: bytes, generator: random.Random, read) -> None:
    mutated = _mutate(content, generator)
    path.write_bytes(mutated)
    try:
        read(path)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(f"{path.name}: more than one line: {error}") from error
    except Exception as error:
        raise AssertionError(f"{path.name} is not refused in one sentence: {mutated!r}") from error


def _mutate(content: bytes, generator: random.Random) -> bytes:
    for _ in range(generator.randint(1, 3)):
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.choice([0, 0, 1, 1, 4, 40]))
        piece = generator.choice([*PIECES, *string.printable])
        content = content[:start] + piece.encode("utf-8", "surrogatepass") + content[end:]
    return content[: generator.randrange(len(content))] if content and generator.random() < 0.1 else content
