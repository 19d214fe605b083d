"""Warnings about pixel statistics of a recipe that do not fit the data it is trained on."""

import logging

import pytest

HELA = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
TIMM = "projects/ViTDet/configs/timm/cascade_mask_rcnn_timm_vit.py"
COCO = "projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py"


@pytest.fixture
def warnings_of(write_data, fitted, caplog):
    def warn(boxes, *overrides, recipe, size=(200, 200), colours=((20, 20, 20), (40, 40, 40))):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="detectron2_ext.fitting"):
            fitted(write_data(size, boxes, colours), *overrides, recipe=recipe)
        return [record.getMessage() for record in caplog.records]

    return warn


def test_other_pixel_statistics_matter_without_weights_only(warnings_of):
    colours = ((200, 180, 160), (240, 220, 200))
    (warning,) = warnings_of([[(30, 30)], [(30, 30)]], recipe=HELA, colours=colours)
    assert "give model.pixel_mean=[220.0,200.0,180.0] model.pixel_std=[20.0,20.0,20.0]" in warning
    assert not warnings_of([[(60, 60)]], "train.init_checkpoint=weights.pth", recipe=COCO, colours=colours)


def test_a_fitted_recipe_has_no_misfits(warnings_of):
    boxes = [[(30, 30)] * 210, [(3, 3), (90, 9)]]
    assert not warnings_of(boxes, recipe="projects/ViTDet/configs/custom/tiny_cpu.py")


def test_statistics_that_timm_describes(warnings_of):
    colours = ((20, 20, 20), (40, 40, 40))
    (warning,) = warnings_of([[(60, 60)]] * 2, recipe=TIMM, colours=colours)
    assert "the recipe has [123.675, 116.28, 103.53]" in warning
    assert "set in a recipe of your own model.pixel_mean=[30.0,30.0,30.0]" in warning
    assert not warnings_of([[(60, 60)]] * 2, "model.backbone.net.pretrained=True", recipe=TIMM, colours=colours)
