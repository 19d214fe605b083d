"""Warnings about a recipe that does not fit the data it is trained on."""

import logging

import pytest

HELA = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
COCO = "projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py"


@pytest.fixture
def warnings_of(write_data, fitted, caplog):
    def warn(boxes, *overrides, recipe, size=(200, 200), colours=((20, 20, 20), (40, 40, 40))):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="detectron2_ext.fitting"):
            fitted(write_data(size, boxes, colours), *overrides, recipe=recipe)
        return [record.getMessage() for record in caplog.records]

    return warn


def test_more_objects_than_the_limit(warnings_of):
    (warning,) = warnings_of([[(30, 30)] * 21, [(30, 30)] * 5], "model.pixel_std=[10,10,10]", recipe=HELA)
    assert "1 of 2 images have more than the 20 objects that the recipe detects, up to 21" in warning
    assert "give model.roi_heads.soft_nms_topk=50" in warning
    (warning,) = warnings_of([[(60, 60)] * 101], "train.init_checkpoint=weights.pth", recipe=COCO)
    assert "model.roi_heads.box_predictor.test_topk_per_image=200" in warning


def test_other_pixel_statistics_matter_without_weights_only(warnings_of):
    colours = ((200, 180, 160), (240, 220, 200))
    (warning,) = warnings_of([[(30, 30)], [(30, 30)]], recipe=HELA, colours=colours)
    assert "give model.pixel_mean=[220.0,200.0,180.0] model.pixel_std=[20.0,20.0,20.0]" in warning
    assert not warnings_of([[(60, 60)]], "train.init_checkpoint=weights.pth", recipe=COCO, colours=colours)


def test_anchors_that_leave_out_half_of_the_boxes(warnings_of):
    given = ["model.pixel_std=[10,10,10]"]
    assert not warnings_of([[(30, 30), (4, 4)], [(30, 30)]], *given, recipe=HELA)
    (warning,) = warnings_of([[(30, 30), (4, 4)], [(4, 4)]], *given, recipe=HELA)
    assert "the anchors cover 1 of 3 objects" in warning
    assert "'model.proposal_generator.anchor_generator.sizes=[[" in warning


def test_a_fitted_recipe_has_no_misfits(warnings_of):
    boxes = [[(30, 30)] * 210, [(3, 3), (90, 9)]]
    assert not warnings_of(boxes, recipe="projects/ViTDet/configs/custom/tiny_cpu.py")
