"""The models of all tasks in bfloat16: finite outputs close to those in float32, and parts that stay in float32."""

import copy
import re

import pytest
import torch
from one_backbone_models import MODELS, detector, segmentation
from torch import Tensor, nn

from eva_engine.inference_precision import FLOAT32, InferencePrecision, convert_for_inference

BFLOAT16 = InferencePrecision(torch.bfloat16, torch.bfloat16)
# What bfloat16 means on a processor without instructions for it.
WEIGHTS_ONLY = InferencePrecision(torch.bfloat16, torch.float32)
SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 2}
# Parameters that stay in float32; batch norms do in all models.
KEPT = {
    "classifier": r"pos_embed|head\..*",
    "pre-training": r"pos_embed",
    "CLIP": r"visual\.(pos_embed|head\..*)|text\.(positional_embedding|text_projection|logit_scale)",
    "video": r"pos_embed|head\..*",
    "segmentation": r"backbone\.pos_embed|decode_head\.cls_embed\..*|.*relative_position_bias_table",
    "detector": r".*(pos_embed|rel_pos_[hw])|.*rpn_head\.(objectness_logits|anchor_deltas)\..*"
    r"|roi_heads\.(box_predictor|mask_head\.predictor)\..*",
}


def build(name: str) -> nn.Module:
    if name == "detector":
        model = detector(SMALL, window_block_indexes=[0, 2])
        for predictor in model.roi_heads.box_predictor:
            predictor.test_score_thresh = 0.0
    else:
        model = segmentation(SMALL) if name == "segmentation" else MODELS[name](SMALL)
    for part, parameter in model.named_parameters():
        if re.search("pos|table", part):  # which start at zero or nearly so
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def outputs(name: str, model: nn.Module) -> list[Tensor]:
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        if name == "pre-training":
            return [model.predict(images, torch.arange(256).remainder(2).bool().expand(2, -1))]
        if name == "CLIP":
            return [model.encode_image(images), model.encode_text(torch.tensor([[1, 2, 3, 19], [1, 4, 19, 0]]))]
        if name == "video":
            return [model(images[:, :, None].expand(-1, -1, 2, -1, -1))]
        if name == "detector":
            return list(model.backbone(nn.functional.pad(images, (0, 32, 0, 32))).values())
        return [model(images)]


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_close_to_float32(name):
    model = build(name)
    expected = outputs(name, model)
    converted = copy.deepcopy(model)
    convert_for_inference(converted, BFLOAT16)
    kept = {part for part, parameter in converted.named_parameters() if parameter.dtype == torch.float32}
    norms = {
        f"{part}.{parameter}"
        for part, module in converted.named_modules()
        if isinstance(module, nn.SyncBatchNorm)
        for parameter in ("weight", "bias")
    }
    assert kept == norms | {part for part, _ in model.named_parameters() if re.fullmatch(KEPT[name], part)}
    assert kept
    for found, exact in zip(outputs(name, converted), expected, strict=True):
        assert found.isfinite().all()
        assert found.dtype == (torch.bfloat16 if name == "pre-training" else torch.float32)
        assert 0 < (found - exact).norm() < 0.05 * exact.norm()
    buffers = dict(model.named_buffers())
    for part, buffer in converted.named_buffers():
        assert buffer.dtype == buffers[part].dtype, part


@pytest.mark.parametrize("name", MODELS)
def test_only_weights_of_layers_are_in_bfloat16(name):
    model = build(name)
    rounded, converted = copy.deepcopy(model), copy.deepcopy(model)
    convert_for_inference(converted, WEIGHTS_ONLY)
    low = {part for part, parameter in converted.named_parameters() if parameter.dtype == torch.bfloat16}
    in_low = sum(model.get_parameter(part).numel() for part in low)
    assert in_low > 0.75 * sum(parameter.numel() for parameter in model.parameters())
    assert not any(re.fullmatch(KEPT[name], part) for part in low)
    with torch.no_grad():
        for part in low:
            rounded.get_parameter(part).copy_(model.get_parameter(part).bfloat16())
    # The rounding of the weights is all that differs.
    for found, expected in zip(outputs(name, converted), outputs(name, rounded), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", [BFLOAT16, WEIGHTS_ONLY], ids=str)
def test_detections_in_bfloat16(precision):
    model = build("detector")
    image = {"image": 255 * torch.rand(3, 200, 256)}
    with torch.inference_mode():
        exact = model.inference([image], do_postprocess=False)[0]
        convert_for_inference(model, precision)
        found = model.inference([image], do_postprocess=False)[0]
    assert len(found) == len(exact) == 100
    for field in (found.pred_boxes.tensor, found.scores, found.pred_masks):
        assert field.dtype == torch.float32
        assert field.isfinite().all()
    assert len(found.scores.unique()) > 90  # scores rounded to bfloat16 would often be equal
    torch.testing.assert_close(found.scores.sort().values, exact.scores.sort().values, rtol=0.1, atol=0)


def test_float32_changes_nothing():
    model = build("classifier")
    expected = outputs("classifier", model)[0]
    convert_for_inference(model, FLOAT32)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert torch.equal(outputs("classifier", model)[0], expected)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("precision", [BFLOAT16, WEIGHTS_ONLY], ids=str)
def test_parameters_stay_the_same_objects(precision):
    model = build("video")
    before = dict(model.named_parameters())
    convert_for_inference(model, precision)
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is parameter for name, parameter in before.items())
