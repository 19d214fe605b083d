"""Prediction slices images as the evaluations of the recipe do."""

from omegaconf import OmegaConf

from detectron2_ext.prediction.inference_options import slices_of_recipe
from detectron2_ext.prediction.slices import Slices


def test_slices_are_those_of_the_recipe():
    options = {"slice_size": 200, "overlap": 0.3, "full_image": True, "tta": False, "tta_scales": None}
    cfg = OmegaConf.create({"dataloader": {"inference": options}})
    assert slices_of_recipe(cfg) == Slices(200, 0.3, True)


def test_a_recipe_without_slices_predicts_whole_images():
    assert slices_of_recipe(OmegaConf.create({"dataloader": {}})) is None
    options = {"slice_size": None, "overlap": None, "full_image": False, "tta": True, "tta_scales": None}
    assert slices_of_recipe(OmegaConf.create({"dataloader": {"inference": options}})) is None
