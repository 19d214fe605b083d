"""What docs/howto/extend.md shows: its code is that of files, and the files work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from eva_engine.config import load_config
from tests.tools.tiny_run import write_data

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/howto/extend.md").read_text()


def excerpts() -> list[tuple[str, str]]:
    """(path, code) of every Python block; the path is the last one in the text before it."""
    found = []
    path = ""
    for text, code in re.findall(r"(.*?)^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        paths = re.findall(r"`(tests/\S+\.py)`", text)
        path = paths[-1] if paths else path
        found.append((path, code))
    return found


@pytest.mark.parametrize(("path", "code"), excerpts())
def test_code_of_the_page_is_that_of_a_file(path, code):
    assert code in (ROOT / path).read_text()


def test_the_table_names_files():
    paths = re.findall(r"`(tests/[\w./]+|\w+\.py)`", PAGE.partition("## A backbone")[0])
    assert paths
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "tests/extensions" / path).exists()


def test_another_head_trains():
    recipe = "tests/extensions/mnist_cosine.py"
    command = [sys.executable, "-W", "ignore", "-m", "tools", "train", "--config-file", recipe, "--dry-run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"model +CosineClassifier", ended.stdout)


def test_a_recipe_registers_its_data(tmp_path, monkeypatch):
    write_data(tmp_path / "cells")
    monkeypatch.setenv("CELLS", str(tmp_path / "cells"))
    cfg = load_config("tests/extensions/cells.py", ["dataloader.train.total_batch_size=2"])
    assert cfg.model.roi_heads.num_classes == 2
    batch = next(iter(instantiate(cfg.dataloader.train)))
    assert all(isinstance(record["image"], torch.Tensor) for record in batch)
