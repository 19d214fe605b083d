"""Which task a recipe's model is predicted with."""

from importlib import import_module

import pytest
from detectron2.config import LazyCall as L
from detectron2.modeling import GeneralizedRCNN
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.prediction import find_task
from eva_video.classifier import VideoClassifier


class UsersOwn(VideoClassifier):
    """From a package that has no prediction."""


@pytest.mark.parametrize(
    ("recipe", "package"),
    [
        ("ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py", "detectron2_ext"),
        ("Classification/configs/in1k_336.py", "eva_classification"),
        ("CLIP/configs/in1k_336_finetune.py", "eva_classification"),
        ("CLIP/configs/zero_shot_in1k.py", "eva_clip"),
        ("CLIP/configs/demo/eva_clip_tiny_digits.py", "eva_clip"),
        ("Video/configs/kinetics400.py", "eva_video"),
        ("SemSeg/configs/ade20k_ss.py", "eva_semseg"),
    ],
)
def test_tasks_of_recipes(recipe, package):
    assert find_task(load_config(f"projects/{recipe}")) is import_module(f"{package}.prediction").Task


def test_a_package_with_another_prediction_is_passed_over(tmp_path, monkeypatch):
    package = tmp_path / "users_package"
    package.mkdir()
    (package / "__init__.py").write_text("from eva_classification import Classifier\nclass Mine(Classifier): ...\n")
    (package / "prediction.py").write_text("Task = 1")
    monkeypatch.syspath_prepend(tmp_path)
    cfg = OmegaConf.create({"model": {"_target_": "users_package.Mine"}})
    assert find_task(cfg) is import_module("eva_classification.prediction").Task


@pytest.mark.parametrize(
    ("model", "package"),
    [
        (L(UsersOwn)(), "eva_video"),
        (L(GeneralizedRCNN)(), "detectron2_ext"),
        (L(nn.Linear)(), "detectron2_ext"),
        ({"_target_": "eva_video.VideoClassifier"}, "eva_video"),  # as the config of a run has it
    ],
)
def test_tasks_of_models(model, package):
    cfg = OmegaConf.create({"model": model}, flags={"allow_objects": True})
    assert find_task(cfg) is import_module(f"{package}.prediction").Task


def test_no_model():
    with pytest.raises(InputError, match="the config has no model"):
        find_task(OmegaConf.create({"model": None}))
