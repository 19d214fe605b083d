"""One attention, one MLP, one block, one resize of positions: what the code defines, what the models are made of."""

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
    *("eva_backbone", "detectron2_ext", "eva_classification", "eva_clip", "eva_video", "eva_semseg"),
    *("projects", "tools", "datasets"),
)
KERNELS = {"eva_backbone/attention_kernels.py", "eva_backbone/chunked_attention.py"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


TREES = dict(trees())


def called(node: ast.AST) -> set[str]:
    """Last names of all that is called below `node`: `softmax` for `F.softmax(x)` and for `x.softmax(1)`."""
    functions = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    names = [
        function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "") for function in functions
    ]
    return set(names)


def files_that_call(*names: str) -> set[str]:
    return {path for path, tree in TREES.items() if called(tree) & set(names)}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            "(?i)attention|attn",
            {
                "Attention": "eva_backbone/attention.py",
                # one of its kernels
                "_ChunkedAttention": "eva_backbone/chunked_attention.py",
                # another operator: no query meets a key; it samples a few places of a map, whose weights it predicts
                "MultiScaleDeformableAttention": "eva_semseg/deformable_attention.py",
            },
        ),
        # timm's Mlp is taken everywhere; the extractors' feed-forward layer convolves three maps in its middle
        ("(?i)mlp|feed|ffn", {"ConvFFN": "eva_semseg/interaction.py"}),
        ("(?i)block$", {"Block": "eva_backbone/block.py"}),
    ],
)
def test_classes(pattern, expected):
    classes = [
        (node, path) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    assert [(node.name, path) for node, path in classes if re.search(pattern, node.name)] == list(expected.items())


def test_no_layer_of_pytorch_that_attends():
    assert not files_that_call(
        "MultiheadAttention", "multi_head_attention_forward", "Transformer", "TransformerEncoderLayer"
    )


def test_fused_attention_is_called_by_the_kernels_alone():
    fused = ("scaled_dot_product_attention", "flex_attention", "memory_efficient_attention")
    assert files_that_call(*fused) <= KERNELS


# Functions with a softmax and a matrix product in which nothing attends: the softmax is that of classes.
CLASSIFIERS = {
    "eva_clip/prediction/predictor.py",  # of the cosines of an image with the labels
    "eva_semseg/mask2former.py",  # of the queries' classes, by which their masks are weighted
    "eva_semseg/matcher.py",  # of the queries' classes, one of the costs of a pair
}
PRODUCTS = {"matmul", "bmm", "baddbmm", "baddbmm_", "einsum", "mm"}


def test_softmax_of_a_product_is_taken_by_the_kernels_alone():
    found = set()
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.Lambda) and called(node) & {"softmax", "softmax_"}:
                multiplies = any(isinstance(part, ast.MatMult) for part in ast.walk(node))
                if multiplies or called(node) & PRODUCTS:
                    found.add(path)
    assert found == KERNELS | CLASSIFIERS


# What is resized where. All but the first three are pictures, maps or scores of them.
RESIZES = {
    "eva_backbone/position.py": "the absolute position table",
    "eva_backbone/relative_position.py": "tables of relative positions, by axis",
    "eva_backbone/patch_resize.py": "the patch kernel",
    "detectron2_ext/modeling/rcnn.py": "an image too large for the model",
    "eva_semseg/adapter.py": "patch tokens, to the strides of the prior",
    "eva_semseg/head.py": "mask features, to the levels",
    "eva_semseg/mask2former.py": "class scores, to the image",
    "eva_semseg/pixel_decoder.py": "a memory, to stride 4",
    "eva_semseg/sliding_windows.py": "scores of a window, to the image",
    "eva_semseg/transformer_decoder.py": "mask logits, to the next level",
}


def test_resizes():
    own = files_that_call("interpolate", "make_interp_spline")
    assert own == set(RESIZES)
    assert not files_that_call(
        "resample_abs_pos_embed", "resample_patch_embed", "resize_rel_pos_bias_table", "upsample"
    )


@pytest.mark.parametrize("name", MODELS)
def test_what_the_models_are_made_of(name):
    """Every part that attends and every feed-forward layer; the text tower is made of open_clip's."""
    with torch.device("meta"):
        model = MODELS[name]()
    text = open_clip.transformer
    attention = {Attention, *({text.Attention} if name == "CLIP" else ())}
    feed_forward = {timm.layers.Mlp, *({nn.Sequential} if name == "CLIP" else ())}
    if name == "segmentation":
        attention |= {MultiScaleDeformableAttention}
        feed_forward |= {ConvFFN}
    blocks = {Block, *({text.CustomResidualAttentionBlock} if name == "CLIP" else ())}
    for pattern, expected in (("attn", attention), ("mlp|ffn", feed_forward), (r"blocks\.\d+", blocks)):
        wanted = re.compile(rf"(.*\.)?\w*({pattern})")
        found = {type(module) for part, module in model.named_modules() if wanted.fullmatch(part)}
        assert found - {nn.Identity} == expected
