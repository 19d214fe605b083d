"""Made batches: found by the model's class, of the sizes of the recipe."""

from pathlib import Path

import pytest
from detectron2.config import LazyConfig
from detectron2.modeling import GeneralizedRCNN
from omegaconf import OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_classification import Classifier
from eva_classification.mim import MaskedImageModel
from eva_clip import Clip
from eva_engine.memory.synthetic_batch import find_synthetic_batch
from eva_semseg.segmenter import Segmenter
from eva_video import VideoClassifier

PROJECTS = Path(__file__).parents[3] / "projects"


class OwnClassifier(Classifier):
    """Of a package that makes no batches."""


def made(kind, path, num_objects=None, **changes):
    cfg = LazyConfig.load(str(PROJECTS / path))
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value)
    return find_synthetic_batch(cfg, kind.__new__(kind), num_objects)


@pytest.mark.parametrize(
    ("kind", "path", "shapes"),
    [
        (Classifier, "Classification/configs/in1k_336.py", {"image": [2, 3, 336, 336], "label": [2]}),
        (OwnClassifier, "Classification/configs/in1k_336.py", {"image": [2, 3, 336, 336], "label": [2]}),
        (MaskedImageModel, "Classification/configs/mim_pretrain_224.py", {"image": [2, 3, 224, 224], "mask": [2, 256]}),
        (Clip, "CLIP/configs/eva_clip_g14.py", {"image": [2, 3, 224, 224], "text": [2, 77]}),
        (VideoClassifier, "Video/configs/kinetics400.py", {"video": [2, 3, 16, 224, 224], "label": [2]}),
        # Both ways.
        (VideoClassifier, "Video/configs/demo/playback.py", {"video": [4, 3, 4, 64, 64], "label": [4]}),
        (Segmenter, "SemSeg/configs/ade20k_ss.py", {"image": [2, 3, 896, 896], "label": [2, 896, 896]}),
    ],
)
def test_batches_have_the_sizes_of_the_recipe(kind, path, shapes):
    batch = made(kind, path).make(2)
    assert {name: list(value.shape) for name, value in batch.items()} == shapes


def test_records_of_detectors():
    (record,) = made(GeneralizedRCNN, "ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py", 5).make(1)
    assert record["image"].shape == (3, 1280, 1280)
    assert len(record["instances"]) == 5


def test_mixing_makes_targets():
    mixed = made(Classifier, "Classification/configs/in1k_336.py", dataloader__train__collate__mixup="any")
    assert mixed.make(2)["label"].shape == (2, 1000)
    mixed = made(VideoClassifier, "Video/configs/kinetics400.py", dataloader__train__collate__mixing="any")
    assert mixed.make(2)["label"].shape == (2, 400)


def test_as_many_patches_are_hidden_and_classes_shown_as_there_may_be():
    masks = made(MaskedImageModel, "Classification/configs/mim_pretrain_224.py").make(2)["mask"]
    assert masks.sum(1).tolist() == [105, 105]
    assert made(Segmenter, "SemSeg/configs/ade20k_ss.py", 7).make(1)["label"].unique().tolist() == list(range(7))


def test_a_model_of_another_package_is_told_in_one_sentence():
    with pytest.raises(InputError, match=r"Sequential belongs to no installed task"):
        find_synthetic_batch(OmegaConf.create(), nn.Sequential())
