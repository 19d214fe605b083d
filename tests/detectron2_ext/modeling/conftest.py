"""A detector of 50,000 parameters and its inputs."""

from collections.abc import Callable

import pytest
import tiny_detectors
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from golden.detector import build_detector

SPEC = tiny_detectors.SPEC | {
    "net_constructor": {
        "img_size": 64,
        "embed_dim": 24,
        "depth": 2,
        "num_heads": 2,
        "window_size": 2,
        "window_block_indexes": [0],
        "use_rel_pos": True,
        "pretrain_img_size": 64,
        "beit_like_qkv_bias": True,
        "out_feature": "last_feat",
    },
}


@pytest.fixture
def make_detector() -> Callable[..., torch.nn.Module]:
    """Build the detector in evaluation mode; `masks=False` leaves out the mask head, other keywords enter the spec."""

    def make(masks: bool = True, **options) -> torch.nn.Module:
        spec = SPEC | {"state_dict_shapes": SPEC["state_dict_shapes"] if masks else {}} | options
        model = build_detector(spec).eval()
        for name, parameter in model.named_parameters():  # spread scores and boxes, so that something is detected
            if "cls_score.weight" in name or "mask_head.predictor.weight" in name:
                torch.nn.init.normal_(parameter, std=0.5)
        return model

    return make


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randint(0, 256, (3, 48, 64)).float()


@pytest.fixture
def make_targets() -> Callable[..., Instances]:
    """Ground truth of `count` objects on the 48 x 64 image, with or without masks."""

    def make(count: int = 2, masks: bool = True) -> Instances:
        boxes = torch.tensor([[4.0, 4.0, 30.0, 40.0], [20.0, 10.0, 60.0, 30.0]])[:count]
        targets = Instances((48, 64), gt_boxes=Boxes(boxes), gt_classes=torch.tensor([1, 3])[:count])
        if masks:
            polygons = [[torch.tensor([x1, y1, x2, y1, x2, y2]).double().numpy()] for x1, y1, x2, y2 in boxes.tolist()]
            targets.gt_masks = PolygonMasks(polygons)
        return targets

    return make
