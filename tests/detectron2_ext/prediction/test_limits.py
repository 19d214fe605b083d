"""A limit that leaves out detections is reported with its option; one that leaves out only weak ones is not."""

import copy

import pytest
import torch
from detectron2.config import instantiate
from detectron2.structures import Boxes, Instances

from detectron2_ext.prediction import DetectionFileTask, DetectionPredictor
from detectron2_ext.prediction.limits import DetectionLimits
from eva_engine.prediction import list_inputs, predict_files
from eva_engine.prediction.images import save_image

TOPK, SOFT_NMS = "model.roi_heads.box_predictors.2.test_topk_per_image", "model.roi_heads.soft_nms_topk"


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({TOPK: 5}, f"5 detections; raise --max-detections or {TOPK}"),
        ({"use_soft_nms": True, "soft_nms_topk": 4}, f"4 detections; raise --max-detections or {SOFT_NMS}"),
        ({"maskness_thresh": 0.5, TOPK: 5}, f"5 detections; raise --max-detections or {TOPK}"),
        ({"use_soft_nms": True, "soft_nms_topk": None}, None),
        ({TOPK: 10_000}, None),
        ({TOPK: -1}, None),
    ],
)
def test_limits_of_detections(tiny_detector, image, changes, limit):
    cfg = copy.deepcopy(tiny_detector.cfg.model)
    if "maskness_thresh" not in changes:
        cfg.roi_heads.update(mask_in_features=None, mask_pooler=None, mask_head=None)
    for key, value in changes.items():
        if key == TOPK:
            cfg.roi_heads.box_predictors[2].test_topk_per_image = value
        else:
            cfg.roi_heads[key] = value
    model = instantiate(cfg).eval()
    limits = DetectionLimits(model)
    with torch.no_grad():
        (found,) = model.inference([{"image": torch.from_numpy(image).permute(2, 0, 1)}], do_postprocess=False)
    reached = [name for name in limits.reached(found, 0.0) if "detections" in name]
    assert reached == ([] if limit is None else [limit])
    weak_ones_are_cut = limits.reached(found, 0.99)
    assert not [name for name in weak_ones_are_cut if "detections" in name]


def test_the_images_are_counted(tiny_detector, image, tmp_path):
    cfg = copy.deepcopy(tiny_detector.cfg)
    cfg.model.roi_heads.box_predictors[2].test_topk_per_image = 5
    task = DetectionFileTask(DetectionPredictor.from_config(cfg, tiny_detector.weights, "cpu", score_threshold=0.0))
    for name in "ab":
        save_image(image, tmp_path / f"in/{name}.jpg")
    predict_files(task, list_inputs([tmp_path / "in"], tmp_path / "out").inputs, tmp_path / "out")
    limit = f"5 detections; raise --max-detections or {TOPK}"
    assert f"limit reached in 2 images or frames, which may have more objects: {limit}" in task.notes()


def test_limit_of_proposals(tiny_detector):
    limits = DetectionLimits(copy.deepcopy(tiny_detector.model))
    found = Instances((9, 9), pred_boxes=Boxes(torch.zeros(0, 4)), scores=torch.zeros(0))
    number = limits._num_proposals
    for logits, is_reached in (
        (torch.ones(number), True),
        (torch.ones(number - 1), False),
        (torch.cat([torch.ones(number - 1), -torch.ones(1)]), False),
    ):
        limits._proposals = [Instances((9, 9), objectness_logits=logits)]
        names = limits.reached(found, 0.5)
        assert names == (
            [
                f"{number} proposals; raise model.proposal_generator.post_nms_topk and "
                "model.proposal_generator.pre_nms_topk"
            ]
            if is_reached
            else []
        )


@pytest.mark.parametrize("changes", [{TOPK: 5}, {"use_soft_nms": True, "soft_nms_topk": None}, {TOPK: -1}])
def test_the_limit_can_be_changed_and_restored(tiny_detector, image, changes):
    cfg = copy.deepcopy(tiny_detector.cfg.model)
    cfg.roi_heads.update(mask_in_features=None, mask_pooler=None, mask_head=None)
    for key, value in changes.items():
        if key == TOPK:
            cfg.roi_heads.box_predictors[2].test_topk_per_image = value
        else:
            cfg.roi_heads[key] = value
    model = instantiate(cfg).eval()
    limits = DetectionLimits(model)
    counts = []
    for limit in (None, 3, 8, None):
        limits.set_max_detections(limit)
        with torch.no_grad():
            (found,) = model.inference([{"image": torch.from_numpy(image).permute(2, 0, 1)}], do_postprocess=False)
        reached = [name for name in limits.reached(found, 0.0) if "detections" in name]
        assert not limit or reached[0].startswith(f"{limit} detections; raise --max-detections")
        counts.append(len(found))
    assert counts[1:3] == [3, 8]
    assert counts[3] == counts[0] != 3
