"""Classifiers: logits, features, and outputs of every block."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch

from eva_classification import Classifier

from ..case import GoldenCase, family
from ..weights import draw_normal

TOLERANCE = 1e-5


def draw_entries(spec: dict) -> dict[str, torch.Tensor]:
    """Draw the weights of `spec["entries"]`, [name, shape, kind] in sorted order, from one generator."""
    generator = np.random.Generator(np.random.PCG64(spec["weight_seed"]))
    state = {}
    for name, shape, kind in spec["entries"]:
        offset, scale = spec["kinds"][kind]
        state[name] = torch.from_numpy((offset + scale * generator.standard_normal(shape)).astype(np.float32))
    return state


def named_options(names: Collection[str]) -> dict[str, Any]:
    """Derive options of the backbone from its parameter names."""

    def layout(joint: str, decoupled: str) -> str | None:
        if f"{joint}.relative_position_bias_table" in names:
            return "joint"
        return "decoupled" if f"{decoupled}.relative_position_bias_for_high" in names else None

    mlps = {"blocks.0.mlp.w1.weight": "swiglu", "blocks.0.mlp.w12.weight": "packed_swiglu"}
    biases = {"blocks.0.attn.qkv.bias": "full", "blocks.0.attn.q_bias": "qv"}
    return {
        "qkv_bias": next((kind for name, kind in biases.items() if name in names), "none"),
        "abs_pos": "pos_embed" in names,
        "rel_pos": layout("blocks.0.attn", "blocks.0.attn.rel_pos_bias"),
        "shared_rel_pos": layout("rel_pos_bias", "rel_pos_bias"),
        "layer_scale": 0.1 if "blocks.0.gamma_1" in names else None,
        "qkv_layers": "separate" if "blocks.0.attn.q_proj.weight" in names else "fused",
        "attention_norm": "blocks.0.attn.inner_attn_ln.weight" in names,
        "mlp": next((kind for name, kind in mlps.items() if name in names), "gelu"),
        "mlp_norm": "blocks.0.mlp.ffn_ln.weight" in names,
    }


def backbone_options(config: dict, names: Collection[str]) -> dict[str, Any]:
    """Translate a `config` with the reference's option names, and the names of its weights, to backbone options."""
    return {
        **{name: config[name] for name in ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")},
        **named_options(names),
        "head_dim": config.get("attn_head_dim"),
        "rope": config.get("rope", False),
        "rope_range": config["pt_hw_seq_len"] if config.get("intp_freq") else None,
        "post_norm": config.get("use_postnorm", config.get("postnorm", False)),
    }


def build_classifier(config: dict, entries: Mapping[str, torch.Tensor], **options: Any) -> Classifier:
    pooling = "mean" if "fc_norm.weight" in entries else "class"
    model = Classifier(config["num_classes"], pooling=pooling, **backbone_options(config, entries), **options)
    model.load_state_dict(entries)
    return model


@family("cls_")
def check_classifier(case: GoldenCase) -> None:
    spec, config = case.spec, case.spec["config"]
    model = build_classifier(config, draw_entries(spec)).eval()
    outputs = {}
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _module, _inputs, out, name=f"block_{i}": outputs.update({name: out}))
    pixels = draw_normal(spec["input_seed"], (spec["batch"], 3, config["img_size"], config["img_size"]))
    outputs["patch_tokens"] = model.forward_patch_features(pixels)
    outputs["features"] = model.forward_head(model.forward_features(pixels), pre_logits=True)
    outputs["logits"] = model(pixels)
    compared = [name for name in outputs if name in case.arrays]
    assert "logits" in compared
    for name in compared:
        expected = case.arrays[name]
        # Outputs before the norm have an arbitrary scale: the tolerance is relative to it.
        scale = max(1.0, expected.std()) if name.startswith("block_") else 1.0
        np.testing.assert_allclose(outputs[name].detach(), expected, rtol=0, atol=TOLERANCE * scale, err_msg=name)
