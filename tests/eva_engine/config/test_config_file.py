"""Recipes are saved to a file and loaded again."""

import logging

import pytest
from detectron2.config import instantiate
from torch import nn

from eva_backbone.errors import InputError
from eva_engine import tasks
from eva_engine.config import load_config, save_config
from eva_engine.config.config_file import config_text
from eva_engine.config.former_names import with_current_names
from eva_engine.config.yaml_data import Name
from eva_engine.tasks import Task

LOADABLE = """
from detectron2.config import LazyCall as L
from torch import nn
model = L(nn.TransformerEncoderLayer)(nhead=1, dim_feedforward="${.d_model}", d_model=3, activation=nn.ReLU)
also = dict(activation=nn.ReLU)
"""
NOT_LOADABLE = """
from detectron2.config import LazyCall as L
from torch import nn
def build(width):
    return nn.Linear(width, width)
model = L(build)(width=3)
norm = lambda width: nn.LayerNorm(width)
train = dict(norm=norm)
"""


def save(tmp_path, text):
    (tmp_path / "recipe.py").write_text(text)
    cfg = load_config(str(tmp_path / "recipe.py"))
    save_config(cfg, tmp_path / "saved.yaml")
    return cfg


def test_saved_recipe_is_the_same_with_its_keys_in_order(tmp_path, caplog):
    cfg = save(tmp_path, LOADABLE)
    assert not caplog.records
    saved = load_config(str(tmp_path / "saved.yaml"), trusted_recipes=[str(tmp_path / "recipe.py")])
    assert list(saved.model) == list(cfg.model)
    assert saved.model._target_ == "torch.nn.TransformerEncoderLayer"
    assert saved.model.activation is nn.ReLU
    assert saved.train == cfg.train
    assert "dim_feedforward: '${.d_model}', d_model: 3" in (tmp_path / "saved.yaml").read_text()


def test_recipe_that_defines_functions_is_saved_for_reading_only(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        cfg = save(tmp_path, NOT_LOADABLE)
    (record,) = caplog.records
    assert record.message.startswith(f"{tmp_path}/saved.yaml can be read by people but not be loaded again: ")
    assert instantiate(cfg.model).in_features == 3
    assert "width: 3" in (tmp_path / "saved.yaml").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.py", "saved.yaml"]
    with pytest.raises(InputError, match=r"which no recipe of this version uses; give the recipe that the run was"):
        load_config(str(tmp_path / "saved.yaml"))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            "model: {_target_: detectron2_ext.engine.Trainer}\n",
            "names detectron2_ext.engine.Trainer as model._target_, which",
        ),
        (
            "model:\n  layers:\n  - {_target_: torch.nn.NoSuchLayer}\n",
            "names torch.nn.NoSuchLayer as model.layers.0._target_, which",
        ),
        (
            "collate: !!python/name:eva_semseg.data.batches.stack_samples ''\n",
            "names eva_semseg.data.batches.stack_samples as collate, which",
        ),
    ],
)
def test_saved_config_with_names_of_another_version_is_one_sentence(tmp_path, content, name):
    file = tmp_path / "config.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=name) as error:
        load_config(file)
    assert "give the recipe that" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "content"), [("a.yaml", ""), ("a.yaml", "[1, 2]"), ("a.py", "x = 1")])
def test_file_without_settings(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=f"{name} has no settings; give a recipe of projects/"):
        load_config(str(tmp_path / name))


@pytest.mark.parametrize("key", ["null", "~", "2020-01-01"])
def test_keys_of_other_types_are_refused(tmp_path, key):
    (tmp_path / "config.yaml").write_text(f"model: {{a: 1, {key}: 2}}\n")
    with pytest.raises(InputError, match=r"the key (None|2020-01-01) is neither text nor a number"):
        load_config(str(tmp_path / "config.yaml"))


@pytest.mark.parametrize(
    ("recipe", "current", "former"),
    [
        (
            "SemSeg/configs/demo/mask2former_eva_tiny_microscope.py",
            "eva_semseg.Mask2Former",
            "eva_semseg.segmenter.Segmenter",
        ),
        (
            "ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py",
            "detectron2_ext.modeling.ChunkedRPN",
            "detectron2.modeling.proposal_generator.RPN",
        ),
    ],
)
def test_config_of_an_earlier_version_uses_the_classes_of_this_one(tmp_path, recipe, current, former):
    cfg = load_config(f"projects/{recipe}")
    save_config(cfg, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    assert text.count(current) == 1
    (tmp_path / "config.yaml").write_text(text.replace(current, former))
    assert config_text(load_config(str(tmp_path / "config.yaml"))) == config_text(cfg)


def test_former_names_are_replaced_where_a_class_or_function_is_named(monkeypatch):
    monkeypatch.setattr(tasks, "_registered", [Task("t", "t", {}, "", "", "", former_names={"old.f": "new.f"})])
    content = {"act": Name("old.f"), "list": [{"_target_": "old.f", "title": "old.f"}], "other": Name("old.g")}
    changed = with_current_names(content)
    assert changed == {"act": "new.f", "list": [{"_target_": "new.f", "title": "old.f"}], "other": "old.g"}
    assert isinstance(changed["act"], Name)
