"""The feature pyramid, and a tiny Cascade Mask R-CNN: detections, losses, gradients."""

import numpy as np
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from detectron2.utils.events import EventStorage

from ..case import GoldenCase, family
from ..detector import BuildNet, build_detector, build_pyramid, build_vit
from ..relu_kinks import closest_gradients
from ..weights import draw_image, draw_normal, fill_model

TOLERANCE = 1e-5


@family("simple_feature_pyramid")
def check_pyramid(case: GoldenCase) -> None:
    spec = case.spec
    pyramid = build_pyramid(spec["net_constructor"], spec["out_channels"], spec["square_pad"], spec["norm"]).eval()
    fill_model(pyramid, spec, case.arrays["sd_abs_sums"])
    assert sorted(pyramid.padding_constraints.values()) == sorted(spec["padding_constraints"].values())
    assert {name: shape.stride for name, shape in pyramid.output_shape().items()} == spec["strides"]
    with torch.no_grad():
        levels = pyramid(draw_normal(spec["input_seed"], spec["input_shape"]))
    for name in spec["strides"]:
        expected = case.arrays[name]
        np.testing.assert_allclose(levels[name].numpy(), expected, rtol=0, atol=TOLERANCE * max(1.0, expected.std()))


def build_filled_detector(case: GoldenCase, build_net: BuildNet) -> torch.nn.Module:
    return fill_model(build_detector(case.spec, build_net), case.spec, case.arrays.get("sd_abs_sums"))


@family("cascade_mask_rcnn")
def check_detector(case: GoldenCase, build_net: BuildNet = build_vit) -> None:
    if "losses" in case.arrays:
        check_losses(case, build_net)
    else:
        check_detections(case, build_net)


def check_detections(case: GoldenCase, build_net: BuildNet) -> None:
    spec, expected = case.spec, case.arrays
    model = build_filled_detector(case, build_net).eval()
    record = {"image": draw_image(spec["image_seed"], *spec["image_hw"])}
    record["height"], record["width"] = spec["requested_output_hw"]
    with torch.no_grad():
        images = model.preprocess_image([record])
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features)
        found = model.inference([record], do_postprocess=False)[0]
        final = model([record])[0]["instances"]

    for name, value in (
        ("p5", features["p5"]),
        ("p6", features["p6"]),
        ("proposal_boxes", proposals[0].proposal_boxes.tensor),
        ("proposal_logits", proposals[0].objectness_logits),
    ):
        if name in expected:
            np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-4, atol=1e-4)

    # The reference keeps the order from before the re-scoring; ours sorts by score.
    order = np.argsort(-expected["scores"], kind="stable")
    final_order = np.argsort(-expected["final_scores"], kind="stable") if "final_scores" in expected else None
    assert torch.all(found.scores.diff() <= 0)
    for instances, prefix, places in ((found, "", order), (final, "final_", final_order)):
        if f"{prefix}scores" not in expected:
            continue
        np.testing.assert_array_equal(instances.pred_classes, expected[f"{prefix}classes"][places])
        np.testing.assert_allclose(instances.scores, expected[f"{prefix}scores"][places], rtol=0, atol=1e-4)
        np.testing.assert_allclose(instances.pred_boxes.tensor, expected[f"{prefix}boxes"][places], rtol=0, atol=5e-3)
    if "masks" in expected:
        np.testing.assert_allclose(found.pred_masks, expected["masks"][order], rtol=0, atol=1e-4)
    if "final_masks_packed" in expected:
        packed = expected["final_masks_packed"][final_order]
        masks = np.unpackbits(packed, axis=-1, count=final.pred_masks.shape[-1]).astype(bool)
        assert np.mean(final.pred_masks.numpy() != masks) < 1e-4  # pixels at probability 0.5


def check_losses(case: GoldenCase, build_net: BuildNet) -> None:
    spec = case.spec
    model = build_filled_detector(case, build_net).train()
    targets = Instances(tuple(spec["image_hw"]))
    targets.gt_boxes = Boxes(torch.tensor(spec["gt_boxes"]))
    targets.gt_classes = torch.tensor(spec["gt_classes"])
    if spec.get("gt_polygons"):
        targets.gt_masks = PolygonMasks([[np.array(p) for p in polygons] for polygons in spec["gt_polygons"]])
    record = {"image": draw_image(spec["image_seed"], *spec["image_hw"]), "instances": targets}

    def compute_losses() -> dict[str, torch.Tensor]:
        with EventStorage():
            return model([record])

    def compute_norms() -> np.ndarray:
        model.zero_grad()
        sum(compute_losses().values()).backward()
        return np.array([parameters[name].grad.double().norm().item() for name in spec["param_grad_order"]])

    losses = compute_losses()
    assert sorted(losses) == sorted(spec["loss_names"])
    values = [losses[name].item() for name in spec["loss_names"]]
    np.testing.assert_allclose(values, case.arrays["losses"], rtol=1e-4)
    parameters = dict(model.named_parameters())
    expected = case.arrays["param_grad_norms"]
    norms = compute_norms()
    if not np.allclose(norms, expected, rtol=1e-3, atol=1e-6):
        norms = closest_gradients(compute_norms, expected)
    np.testing.assert_allclose(norms, expected, rtol=1e-3, atol=1e-6)
