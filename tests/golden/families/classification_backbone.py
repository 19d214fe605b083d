"""Classification and MIM models assembled from the backbone: proof that it serves them without a second ViT."""

import numpy as np
import torch
from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.layer_norm import LayerNorm

from ..case import GoldenCase, family
from ..weights import draw_normal

TOLERANCE = 1e-5
REL_POS = {"use_rel_pos_bias": "joint", "use_decoupled_rel_pos_bias": "decoupled"}


def draw_entries(spec: dict) -> dict[str, torch.Tensor]:
    """Weights of `spec["entries"]`, [name, shape, kind] in sorted order, from one generator."""
    generator = np.random.Generator(np.random.PCG64(spec["weight_seed"]))
    state = {}
    for name, shape, kind in spec["entries"]:
        offset, scale = spec["kinds"][kind]
        state[name] = torch.from_numpy((offset + scale * generator.standard_normal(shape)).astype(np.float32))
    return state


def backbone_options(config: dict, entries: dict) -> dict:
    """Options of the backbone for a classification `config` in the reference's option names and its weights."""
    rel_pos = next((name for option, name in REL_POS.items() if config.get(option)), None)
    return {
        **{name: config[name] for name in ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")},
        "qkv_bias": "full" if "blocks.0.attn.qkv.bias" in entries else "qv",
        "abs_pos": config.get("use_abs_pos_emb", True),
        "rel_pos": rel_pos,
        "shared_rel_pos": config.get("use_shared_rel_pos_bias", False),
        "layer_scale": config.get("init_values") or None,
        "post_norm": config.get("use_postnorm", False),
        "final_norm": "norm.weight" in entries,
    }


@family("cls_")
def check_classifier(case: GoldenCase) -> None:
    spec, config = case.spec, case.spec["config"]
    entries = draw_entries(spec)
    backbone = VisionTransformer(**backbone_options(config, entries))
    state = {name: entries.pop(name) for name in backbone.state_dict()}
    backbone.load_state_dict(state)
    fc_norm = LayerNorm(config["embed_dim"]) if "fc_norm.weight" in entries else nn.Identity()
    head = nn.Linear(config["embed_dim"], config["num_classes"])
    for name, module in (("fc_norm", fc_norm), ("head", head)):
        module.load_state_dict({key: entries.pop(f"{name}.{key}") for key in module.state_dict()})
    assert not entries, "entries of the case that no part of the model took"

    blocks = {}
    for i, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda _module, _inputs, out, name=f"block_{i}": blocks.update({name: out}))
    pixels = draw_normal(spec["input_seed"], (spec["batch"], 3, config["img_size"], config["img_size"]))
    tokens = backbone.eval()(pixels)
    pooled = tokens[:, 0] if isinstance(fc_norm, nn.Identity) else fc_norm(tokens[:, 1:].mean(1))
    outputs = {"features": pooled, "logits": head(pooled), "patch_tokens": fc_norm(tokens[:, 1:]), **blocks}
    compared = [name for name in outputs if name in case.arrays]
    assert "logits" in compared
    for name in compared:
        np.testing.assert_allclose(outputs[name].detach(), case.arrays[name], rtol=0, atol=TOLERANCE, err_msg=name)
