"""`RecipeLoader` loads what `LazyConfig.load` does, although it executes shared files once."""

from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from omegaconf import OmegaConf

from eva_engine.config.recipe_loader import RecipeLoader
from eva_engine.recipe_files import recipe_files

FILES = {
    "parts/model.py": """
import builtins
builtins.counted.append(1)
model = dict(depth=12, net=dict(sizes=[1, 2]))
names = ["a"]
""",
    "parts/functions.py": "model = dict(depth=1)\ndef deepen():\n    model['depth'] = 2\n",
    "base.py": """
from .parts.model import model, names
model.depth = 24
names.append("b")
train = dict(names=names)
""",
    "large.py": "from .base import model, train\nmodel.depth = 40\nmodel.net.sizes.append(3)\n_hidden = dict(a=1)\n",
    "small.py": "from .parts.model import model, names\ntrain = dict(names=names)\n",
    "changed.py": "from .parts.functions import deepen, model\ndeepen()\nmodel.extra = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_recipes_do_not_see_changes_of_each_other(folder, monkeypatch):
    counted = []
    monkeypatch.setattr("builtins.counted", counted, raising=False)
    recipes = [folder / f"{name}.py" for name in ("large", "small", "base", "changed", "large")]
    expected = [LazyConfig.load(str(file)) for file in recipes]
    counted.clear()
    loader = RecipeLoader()
    found = [loader.load(file) for file in recipes]
    assert found == expected
    assert [cfg.model.depth for cfg in found] == [40, 12, 24, 2, 40]
    assert found[0] is not found[-1]
    assert found[1].train.names == ["a"]
    assert len(counted) == 1


@pytest.mark.parametrize("folder_name", ["custom", "eva2_o365", "eva02", "timm", "demo"])
def test_packaged_recipes(folder_name):
    files = [file for demos in (False, True) for file in recipe_files(demos=demos) if folder_name in file.path]
    assert files
    loader = RecipeLoader()
    for file in files:
        found, expected = loader.load(file.file), LazyConfig.load(str(file.file))
        found, expected = (OmegaConf.to_container(cfg, resolve=False) for cfg in (found, expected))
        assert _without_addresses(found) == _without_addresses(expected), file.path


def _without_addresses(value: object) -> object:
    """Replace functions by their names: those of recipes exist once for every load."""
    if isinstance(value, dict):
        return {key: _without_addresses(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_addresses(inner) for inner in value]
    return value.__qualname__ if callable(value) else value
