"""--slice and --overlap set the sliding windows of segmentation, for predict and evaluate."""

import copy

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from tiny_semseg_recipe import tiny_recipe

from eva_backbone.errors import InputError
from eva_semseg.prediction import SegmentationPredictor
from eva_semseg.window_options import set_windows


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    return tiny_recipe(tmp_path_factory.mktemp("semseg"))


@pytest.mark.parametrize(
    ("options", "size", "stride"),
    [
        ({}, 64, 48),
        ({"slice_size": 80}, 80, 64),
        ({"slice_size": 96, "overlap": 0.5}, 96, 48),
        ({"slice_size": 96, "overlap": 0.0}, 96, 96),
        ({"slice_size": 32, "overlap": 0.9}, 32, 3),
    ],
)
def test_windows_of_the_recipe(cfg, options, size, stride):
    cfg = copy.deepcopy(cfg)
    set_windows(cfg, **options)
    windows = instantiate(cfg.model.inference.windows)
    assert windows.size == (size, size)
    assert windows.stride == (stride, stride)


def test_unusable_windows(cfg):
    for options, message in (
        ({"overlap": 0.5}, "add --slice"),
        ({"slice_size": 64, "overlap": 0.91}, r"the overlap of windows is 0\.91; give a fraction from 0 to 0\.9\."),
        ({"slice_size": 64, "overlap": -0.1}, r"the overlap of windows is -0\.1"),
        ({"slice_size": 31}, "windows of 31 pixels are too small; give a side of at least 32 pixels, such as 512"),
    ):
        with pytest.raises(InputError, match=message):
            set_windows(copy.deepcopy(cfg), **options)
    other = copy.deepcopy(cfg)
    other.model.inference = None
    with pytest.raises(InputError, match="which --slice sets"):
        set_windows(other, slice_size=64)


def test_the_predictor_uses_them(cfg, tmp_path):
    torch.manual_seed(0)
    torch.save({"model": instantiate(cfg.model).state_dict()}, tmp_path / "model.pth")
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    predictor = SegmentationPredictor.from_config(cfg, tmp_path / "model.pth", "cpu", slice_size=32, overlap=0.5)
    other = copy.deepcopy(cfg)
    other.model.inference.windows.update(size=[32, 32], stride=[16, 16])
    expected = SegmentationPredictor.from_config(other, tmp_path / "model.pth", "cpu")(image)
    np.testing.assert_array_equal(predictor(image).labels, expected.labels)
    assert list(cfg.model.inference.windows.size) == [64, 64]
