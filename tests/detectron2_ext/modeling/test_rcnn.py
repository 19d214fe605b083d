"""The meta-architecture: float32 region in training, autocast in inference, images larger than the padding square."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from detectron2_ext.modeling import rcnn
from eva_backbone.errors import InputError


def test_heads_train_in_float32_under_autocast(make_detector, image: torch.Tensor, make_targets) -> None:
    model = make_detector().train()
    seen: dict[str, set[torch.dtype]] = {}

    def record_dtype(module, _inputs, output) -> None:
        seen.setdefault(names[module], set()).add(output.dtype)

    names = {m: n for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)}
    for module in names:
        module.register_forward_hook(record_dtype)
    with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([{"image": image, "instances": make_targets()}])
    heads = {name: dtypes for name, dtypes in seen.items() if name.startswith(("proposal_generator", "roi_heads"))}
    assert {"roi_heads.mask_head.predictor", "roi_heads.box_predictor.2.cls_score"} <= set(heads)
    assert set().union(*heads.values()) == {torch.float32}
    assert seen["backbone.net.blocks.0.mlp.fc1"] == {torch.bfloat16}
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


@pytest.mark.parametrize("use_soft_nms", [False, True])
def test_inference_under_autocast(make_detector, image: torch.Tensor, use_soft_nms: bool) -> None:
    model = make_detector(use_soft_nms=use_soft_nms, maskness_thresh=0.5)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.inference([{"image": image}], do_postprocess=False)[0]
        (final,) = model([{"image": image}])
    assert len(found) > 0
    assert found.scores.dtype == found.pred_boxes.tensor.dtype == found.pred_masks.dtype == torch.float32
    assert len(final["instances"]) == len(found)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_large_image_is_refused(make_detector, make_targets, train: bool, count: int) -> None:
    model = make_detector().train(train)
    record = {"image": torch.zeros(3, 40, 65), "file_name": "wide.jpg", "instances": make_targets()}
    with pytest.raises(InputError, match=r"wide\.jpg has 65x40 pixels, but the model accepts at most 64x64"):
        model([record] * count)


@pytest.mark.parametrize("given_size", [{}, {"height": 50, "width": 80}])
def test_large_image_is_resized(make_detector, given_size: dict) -> None:
    model = make_detector()
    model.large_images = "resize"
    large = torch.randint(0, 256, (3, 160, 256)).float()
    small = torch.nn.functional.interpolate(large[None], (40, 64), mode="bilinear", antialias=True)[0]
    height, width = given_size.get("height", 160), given_size.get("width", 256)
    with torch.no_grad():
        (of_large,) = model([{"image": large, **given_size}])
        (of_small,) = model([{"image": small, "height": height, "width": width}])
    a, b = of_large["instances"], of_small["instances"]
    assert a.image_size == (height, width)
    assert len(a) > 0
    assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor)
    assert torch.equal(a.pred_masks, b.pred_masks)


def test_many_large_masks_are_encoded(make_detector, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model, record = make_detector(), {"image": image, "height": 90, "width": 130}
    with torch.no_grad():
        (full,) = model([record])
        monkeypatch.setattr(rcnn, "_MAX_MASK_PIXELS", 0)
        (encoded,) = model([record])
    expected, masks = full["instances"].pred_masks, encoded["instances"].pred_masks
    assert len(masks) == len(expected) > 0
    assert torch.equal(torch.stack(list(masks)), expected)
    chosen = encoded["instances"][full["instances"].scores > full["instances"].scores.median()]
    assert torch.equal(torch.stack(list(chosen.pred_masks)), expected[: len(chosen)])


def test_padding_is_a_square_of_zeros(make_detector, image: torch.Tensor) -> None:
    images = make_detector().preprocess_image([{"image": image}])
    assert images.tensor.shape == (1, 3, 64, 64)
    assert images.image_sizes == [(48, 64)]
    assert not images.tensor[:, :, 48:].any()


def test_unknown_choice(make_detector) -> None:
    model = make_detector()
    with pytest.raises(InputError, match='"refuse" or "resize"'):
        type(model)(
            backbone=model.backbone,
            proposal_generator=None,
            roi_heads=None,
            pixel_mean=[0.0],
            pixel_std=[1.0],
            large_images="crop",
        )
