"""The detector's backbone and the resizing of its position tables."""

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from detectron2_ext.modeling.vit import ViT
from eva_backbone.block import merge_windows, partition_windows
from eva_backbone.layer_norm import LayerNorm
from eva_backbone.position import resize_pos_embed
from eva_backbone.relative_position import resize_rel_pos

from ..case import GoldenCase, family
from ..weights import draw_normal, fill_model

TOLERANCE = 1e-5
Comparison = Callable[[torch.Tensor, np.ndarray], None]


def assert_close(actual: torch.Tensor, expected: np.ndarray) -> None:
    """Assert equality within TOLERANCE relative to the scale of the expected values."""
    scale = max(1.0, float(np.abs(expected).std()))
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=TOLERANCE * scale)


def set_norm_eps(model: nn.Module, norm_layer: str) -> None:
    """Set eps as in a spec like "torch.nn.LayerNorm eps=1e-06"; ours is 1e-6 by default."""
    eps = re.search(r"eps=([\d.e+-]+)", norm_layer)
    for module in model.modules():
        if eps and isinstance(module, LayerNorm):
            module.eps = float(eps[1])


@family("vit")
def check_backbone(case: GoldenCase) -> None:
    compare_backbone(case, fill_model(ViT(**case.spec["constructor"]), case.spec, case.arrays["sd_abs_sums"]))


def compare_backbone(case: GoldenCase, model: ViT, compare_gradient: Comparison = assert_close) -> None:
    """Compare the outputs and gradients of a backbone with the weights of the case."""
    spec = case.spec
    set_norm_eps(model, spec.get("norm_layer", ""))
    model.train(spec["mode"] == "train")
    pixels = draw_normal(spec["input_seed"], spec["input_shape"], spec["input_scale"])
    needs_gradient = "cotangent_seed" in spec
    pixels.requires_grad_(needs_gradient)
    seen = {}
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _module, _inputs, out, name=f"block_{i}": seen.update({name: out}))
    model.patch_embed.register_forward_hook(lambda _module, _inputs, out: seen.update(patch_embed=out[0]))

    output = model(pixels)[spec["constructor"]["out_feature"]]
    assert_close(output, case.arrays["last_feat"])
    for name, tokens in seen.items():
        if name in case.arrays:
            assert_close(tokens.reshape(case.arrays[name].shape), case.arrays[name])
    if needs_gradient:
        (output * draw_normal(spec["cotangent_seed"], spec["cotangent_shape"])).sum().backward()
        compare_gradient(pixels.grad, case.arrays["input_grad"])
        parameters = dict(model.named_parameters())
        norms = [parameters[name].grad.double().norm().item() for name in spec["param_grad_order"]]
        np.testing.assert_allclose(norms, case.arrays["param_grad_norms"], rtol=1e-5)


@family("interpolation tables")
def check_tables(case: GoldenCase) -> None:
    spec = case.spec
    for table in spec["rel_pos"]:
        i, tokens = table["index"], table["tokens"]
        for method in ("vitdet", "beit"):
            resized = resize_rel_pos(case.tensor(f"source_{i}"), tokens, method)
            assert len(resized) == table["resized_length"]
            assert_close(resized, case.arrays[f"{method}_{i}"])
    resized = resize_pos_embed(case.tensor("abs_source"), spec["abs_hw"], int(spec["abs_has_cls"]))
    expected = case.arrays["abs_resized"]
    assert_close(resized[:, int(spec["abs_has_cls"]) :].reshape(expected.shape), expected)

    # the spec writes its input as a numpy expression of one form: arange(n).reshape(shape)
    shape = tuple(int(side) for side in spec["window_input"].split("reshape(")[1].rstrip(")").split(","))
    x = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(shape)
    windows, padded = partition_windows(x, spec["window"])
    assert list(padded) == spec["window_padded_hw"]
    np.testing.assert_array_equal(windows.numpy(), case.arrays["windows"])
    assert torch.equal(merge_windows(windows, spec["window"], padded, shape[1:3]), x)
