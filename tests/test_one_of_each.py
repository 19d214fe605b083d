"""All models share one attention module, one MLP, one block and one resize of positions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import open_clip.transformer
import pytest
import timm.layers
import torch
from one_backbone_models import MODELS
from torch import nn

from eva_backbone.attention import Attention
from eva_backbone.block import Block
from eva_semseg.deformable_attention import MultiScaleDeformableAttention
from eva_semseg.interaction import ConvFFN

ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("eva_backbone", "eva_engine", "detectron2_ext", "eva_classification", "eva_clip", "eva_video", "eva_semseg"),
    *("eva_deploy", "eva_vision", "eva_demos", "projects", "tools", "datasets"),
)
KERNELS = {"eva_backbone/attention_kernels.py", "eva_backbone/chunked_attention.py"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


TREES = dict(trees())


def called(node: ast.AST) -> set[str]:
    """Return the last names of all calls within `node`: `softmax` for `F.softmax(x)` and for `x.softmax(1)`."""
    functions = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    names = [
        function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "") for function in functions
    ]
    return set(names)


def files_that_call(*names: str) -> set[str]:
    return {path for path, tree in TREES.items() if called(tree) & set(names)}


def test_no_attention_layers_of_pytorch():
    assert not files_that_call(
        "MultiheadAttention", "multi_head_attention_forward", "Transformer", "TransformerEncoderLayer"
    )


def test_only_the_kernels_call_fused_attention():
    fused = ("scaled_dot_product_attention", "flex_attention", "memory_efficient_attention")
    assert files_that_call(*fused) <= KERNELS


# Files with a softmax and a matrix product that are not attention: the softmax is over classes.
CLASSIFIERS = {
    "eva_clip/prediction/predictor.py",  # cosine similarities of an image with the labels
    "eva_semseg/mask2former.py",  # class probabilities of the queries, which weight their masks
    "eva_semseg/matcher.py",  # class probabilities of the queries, one of the matching costs
}
PRODUCTS = {"matmul", "bmm", "baddbmm", "baddbmm_", "einsum", "mm"}


def test_only_the_kernels_compute_the_softmax_of_a_product():
    found = set()
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.Lambda) and called(node) & {"softmax", "softmax_"}:
                multiplies = any(isinstance(part, ast.MatMult) for part in ast.walk(node))
                if multiplies or called(node) & PRODUCTS:
                    found.add(path)
    assert found == KERNELS | CLASSIFIERS


# The files that interpolate, and what. All but the first three interpolate images, feature maps or scores.
RESIZES = {
    "eva_backbone/position.py": "the absolute position table",
    "eva_backbone/relative_position.py": "relative position tables, along each axis",
    "eva_backbone/patch_embed.py": "the patch kernel",
    "detectron2_ext/modeling/rcnn.py": "an image too large for the model",
    "detectron2_ext/export/example.py": "an image for an exported detector, without PyTorch",
    "eva_semseg/adapter.py": "patch tokens, to the strides of the prior",
    "eva_semseg/head.py": "mask features, to the levels",
    "eva_semseg/pixel_decoder.py": "encoder output, to stride 4",
    "eva_semseg/segmenter.py": "class scores, to the image",
    "eva_semseg/sliding_windows.py": "scores of a window, to the image",
    "eva_semseg/transformer_decoder.py": "mask logits, to the next level",
    "eva_semseg/uper_head.py": "pooled features and maps, to the finer levels",
}


def test_resizes():
    own = files_that_call("interpolate", "make_interp_spline")
    assert own == set(RESIZES)
    assert not files_that_call("resample_abs_pos_embed", "upsample")
    assert files_that_call("resample_patch_embed") == {"eva_engine/checkpoint/resizing.py"}  # only for models of timm
    assert files_that_call("resize_rel_pos_bias_table") == {"eva_engine/checkpoint/resizing.py"}  # BEiT's, as in timm


@pytest.mark.parametrize("name", MODELS)
def test_all_models_consist_of_the_same_layers(name):
    """Check all attention and feed-forward layers and blocks; the text tower of CLIP consists of open_clip's blocks."""
    with torch.device("meta"):
        model = MODELS[name]()
    attention: set[type] = {Attention}
    feed_forward: set[type] = {timm.layers.Mlp}
    blocks: set[type] = {Block}
    if name == "CLIP":
        attention.add(open_clip.transformer.Attention)
        feed_forward.add(nn.Sequential)
        blocks.add(open_clip.transformer.CustomResidualAttentionBlock)
    if name == "segmentation":
        attention.add(MultiScaleDeformableAttention)  # samples a few locations of a map; no query meets a key
        feed_forward.add(ConvFFN)  # has a convolution between its layers
    for pattern, expected in (("attn", attention), ("mlp|ffn", feed_forward), (r"blocks\.\d+", blocks)):
        wanted = re.compile(rf"(.*\.)?\w*({pattern})")
        found = {type(module) for part, module in model.named_modules() if wanted.fullmatch(part)}
        assert found - {nn.Identity} == expected
