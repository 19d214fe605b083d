"""The task of a config, and the class that predicts on files with its model."""

from importlib import import_module

import pytest
from detectron2.config import LazyCall as L
from detectron2.modeling import GeneralizedRCNN
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.config import find_task_of_config, load_config, task_of_config
from eva_video.classifier import VideoClassifier

FILE_TASKS = {
    "detectron2_ext": "DetectionFileTask",
    "eva_classification": "ClassificationFileTask",
    "eva_clip": "ClipFileTask",
    "eva_video": "VideoFileTask",
    "eva_semseg": "SegmentationFileTask",
}


class DerivedClassifier(VideoClassifier):
    """A model of a package that is not a task."""


def assert_task(cfg, package):
    task = task_of_config(cfg)
    assert task.package == package
    assert task.load("file_task") is getattr(import_module(f"{package}.prediction.task"), FILE_TASKS[package])


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
def test_task_of_a_recipe(recipe, package):
    assert_task(load_config(f"projects/{recipe}"), package)


def test_a_class_of_another_package_has_the_task_of_its_base_class(tmp_path, monkeypatch):
    package = tmp_path / "users_package"
    package.mkdir()
    (package / "__init__.py").write_text("from eva_classification import Classifier\nclass Mine(Classifier): ...\n")
    (package / "prediction.py").write_text("Task = 1")
    monkeypatch.syspath_prepend(tmp_path)
    assert_task(OmegaConf.create({"model": {"_target_": "users_package.Mine"}}), "eva_classification")


@pytest.mark.parametrize(
    ("model", "package"),
    [
        (L(DerivedClassifier)(), "eva_video"),
        (L(GeneralizedRCNN)(), "detectron2_ext"),
        ({"_target_": "eva_video.VideoClassifier"}, "eva_video"),  # as in the config.yaml of a run
    ],
)
def test_task_of_a_model(model, package):
    assert_task(OmegaConf.create({"model": model}, flags={"allow_objects": True}), package)


def test_a_model_of_no_task_is_refused():
    cfg = OmegaConf.create({"model": L(nn.Linear)()}, flags={"allow_objects": True})
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear, belongs to no installed task \(.*video"):
        task_of_config(cfg)


def test_a_config_without_a_model_is_refused():
    with pytest.raises(InputError, match="the config has no model"):
        task_of_config(OmegaConf.create({"model": None}))


@pytest.mark.parametrize("model", [None, L(nn.Linear)()])
def test_a_config_without_a_task_can_be_recognised(model):
    assert find_task_of_config(OmegaConf.create({"model": model}, flags={"allow_objects": True})) is None
