"""Mask2Former's positions, pixel decoder and predictions, under their published names."""

import re

import torch
from torch import nn

from eva_semseg.head import Mask2FormerHead
from eva_semseg.mask2former import semantic_scores
from eva_semseg.pixel_decoder import PixelDecoder, sine_positions
from eva_semseg.state_dict_adapter import from_published, to_published

from ..case import GoldenCase, family
from ..listed_draws import assert_near, draw_inputs, draw_weights

NUM_LEVELS, NUM_POINTS = 3, 4
DEFAULT_GROUPS = 8
FEATURES = {"res2": "feat_stride4", "res3": "feat_stride8", "res4": "feat_stride16", "res5": "feat_stride32"}


@family("sine_pos")
def check_sine_positions(case: GoldenCase) -> None:
    for name, expected in case.arrays.items():
        grid = tuple(int(side) for side in name.split("x"))
        found = sine_positions(grid, expected.shape[1], torch.empty(0))
        assert_near(found.transpose(1, 2).unflatten(2, grid), expected, name)


def num_groups(case: GoldenCase) -> int:
    """Return the number of groups of the group normalisation, from an entry of the spec or from its text."""
    head = case.spec["head"]
    if isinstance(head, dict):
        return head.get("gn_groups", DEFAULT_GROUPS)
    stated = re.search(r"gn_groups=(\d+)", head)
    return int(stated[1]) if stated else DEFAULT_GROUPS


def count_layers(weights: dict[str, torch.Tensor], stem: str) -> int:
    return len({name.removeprefix(stem).split(".")[0] for name in weights if name.startswith(stem)})


def pixel_decoder_options(case: GoldenCase, weights: dict[str, torch.Tensor], prefix: str) -> dict[str, int]:
    """Derive the sizes of the decoder from its published weights, whose names begin with `prefix`."""
    layers = f"{prefix}encoder.layers."
    dim, in_channels = weights[f"{prefix}input_convs.0.conv.weight"].shape[:2]
    return {
        "dim": dim,
        "in_channels": in_channels,
        "num_heads": len(weights[f"{layers}0.attentions.0.attention_weights.bias"]) // (NUM_LEVELS * NUM_POINTS),
        "hidden": len(weights[f"{layers}0.ffns.0.layers.0.0.bias"]),
        "num_layers": count_layers(weights, layers),
        "num_groups": num_groups(case),
    }


def load_published(module: nn.Module, weights: dict[str, torch.Tensor], prefix: str) -> None:
    """Load published weights, listed without the `prefix` of a full model; names are converted there and back."""
    published = {prefix + name: value for name, value in weights.items()}
    own = from_published(published)
    assert to_published(own) == published
    stem = prefix if prefix == "decode_head." else "decode_head.pixel_decoder."
    module.load_state_dict({name.removeprefix(stem): value for name, value in own.items()})
    module.eval()


@family("pixel_decoder")
def check_pixel_decoder(case: GoldenCase) -> None:
    spec = case.spec
    weights = draw_weights(spec["weights"], spec["seed_weights"])
    module = PixelDecoder(**pixel_decoder_options(case, weights, ""))
    load_published(module, weights, "decode_head.pixel_decoder.")
    inputs = draw_inputs(spec["inputs"], spec["seed_inputs"], spec.get("input_sha256"))
    features = {name: inputs[key].requires_grad_() for name, key in FEATURES.items()}
    for use_checkpoint in (False, True):
        mask_features, memories = module(features, use_checkpoint=use_checkpoint)
        assert_near(mask_features, case.arrays["mask_feature"], "mask_feature")
        for i, memory in enumerate(memories):
            assert_near(memory, case.arrays[f"mem{i}"], f"mem{i}")
        loss = mask_features.square().mean() + sum(memory.square().mean() for memory in memories)
        for i, gradient in enumerate(torch.autograd.grad(loss, list(features.values()))):
            expected = case.arrays[f"grad_feat{i}"]
            # these gradients are far below 1: the tolerance is relative to the largest of them
            error = (gradient - torch.from_numpy(expected)).abs().max()
            assert error <= 2e-5 * abs(expected).max(), f"grad_feat{i}"


@family("head")
def check_head(case: GoldenCase) -> None:
    spec = case.spec
    weights = draw_weights(spec["weights"], spec["seed_weights"])
    options = pixel_decoder_options(case, weights, "pixel_decoder.")
    options["encoder_layers"] = options.pop("num_layers")
    module = Mask2FormerHead(
        len(weights["cls_embed.bias"]) - 1,
        num_queries=len(weights["query_feat.weight"]),
        decoder_layers=count_layers(weights, "transformer_decoder.layers."),
        **options,
    )
    load_published(module, weights, "decode_head.")
    inputs = draw_inputs(spec["inputs"], spec["seed_inputs"], spec.get("input_sha256"))
    features = {name: inputs[key] for name, key in FEATURES.items()}
    with torch.no_grad():
        predictions = module(features)
        classes, masks = (torch.stack(part) for part in zip(*predictions, strict=True))
        assert_near(classes, case.arrays["cls"], "cls")
        assert_near(masks, case.arrays["masks"], "masks")
        assert_near(semantic_scores(*predictions[-1]), case.arrays["seg"], "seg")
        assert_near(semantic_scores(*module.predict(features)), case.arrays["seg"], "seg, last prediction alone")
