"""EVA-CLIP: outputs of both towers, logits, zero-shot weights."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from eva_clip import Clip, ImageTower, TextTransformer, get_tokenizer
from eva_clip.evaluation.zero_shot_classifier import build_zero_shot_weights

from ..case import GoldenCase, family
from ..weights import draw_normal

RTOL, ATOL = 1e-4, 2e-5
ZERO_SHOT_SCALE = 100
TOKENIZER_CASE = "clip_tokenizer.npz"
TOKEN_TABLES = ("pos_embed", "cls_token", "positional_embedding", "token_embedding.weight")


def draw_entry(name: str, shape: Sequence[int], generator: np.random.Generator) -> np.ndarray:
    """Draw float64 values for an entry by a rule that depends on its name, then on its number of dimensions."""
    values = generator.standard_normal(tuple(shape))
    if name.endswith("logit_scale"):
        return math.log(1 / 0.07) + 0.1 * values
    if name.endswith(TOKEN_TABLES):
        return 0.2 * values
    if name.endswith("text_projection"):
        return values * shape[0] ** -0.5
    if len(shape) == 1:
        return 0.1 * values + (1 if name.endswith("weight") else 0)
    return values * math.prod(shape[1:]) ** -0.5


def draw_entries(spec: Mapping) -> dict[str, torch.Tensor]:
    """Draw all entries in sorted order from one generator, and scale some down afterwards."""
    generator = np.random.Generator(np.random.PCG64(spec["weight_seed"]))
    state = {}
    for name in sorted(spec["shapes"]):
        value = torch.from_numpy(np.asarray(draw_entry(name, spec["shapes"][name], generator), dtype=np.float32))
        for suffix, factor in spec["then_multiply_by_suffix"].items():
            if name.endswith(suffix):
                value = value * factor
        state[name] = value
    return state


def build_clip(config: Mapping) -> Clip:
    vision, text = config["vision_cfg"], config["text_cfg"]
    return Clip(
        ImageTower(
            config["embed_dim"],
            img_size=vision["image_size"],
            patch_size=vision["patch_size"],
            embed_dim=vision["width"],
            depth=vision["layers"],
            num_heads=vision["width"] // vision["head_width"],
            mlp_ratio=vision["mlp_ratio"],
            drop_path_rate=vision["drop_path_rate"],
        ),
        TextTransformer(
            config["embed_dim"],
            context_length=text["context_length"],
            vocab_size=text["vocab_size"],
            width=text["width"],
            num_heads=text["heads"],
            num_layers=text["layers"],
            quick_gelu=config["quick_gelu"],
        ),
    )


def find_token_ids(case: GoldenCase) -> torch.Tensor:
    """Return token ids of the case, or those of the strings in the tokenizer's case."""
    if "token_ids" in case.arrays:
        return case.tensor("token_ids")
    beside = case.path.with_name(TOKENIZER_CASE)
    path = beside if beside.exists() else Path(__file__).parents[2] / "data" / "golden" / "clip" / TOKENIZER_CASE
    strings = GoldenCase(path).spec["strings"]
    return get_tokenizer()(strings, context_length=case.spec["config"]["text_cfg"]["context_length"])


@family("EVA-CLIP forward")
@torch.no_grad()
def check_clip(case: GoldenCase) -> None:
    spec = case.spec
    model = build_clip(spec["config"]).eval()
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert shapes == spec["shapes"]
    model.load_state_dict(draw_entries(spec))
    blocks, normed = [], []
    for block in model.visual.blocks:
        block.register_forward_hook(lambda _module, _inputs, out: blocks.append(out[:, [0, -1]]))
    model.visual.norm.register_forward_hook(lambda _module, _inputs, out: normed.append(out))
    pixels, token_ids = draw_normal(spec["input_seed"], spec["image_shape"]), find_token_ids(case)
    outputs = {"image_embed": model.encode_image(pixels), "text_embed": model.encode_text(token_ids)}
    outputs["vision_cls"], outputs["block_tokens"] = normed[0], torch.stack(blocks)
    features = model({"image": pixels, "text": token_ids})
    outputs["image_norm"], outputs["text_norm"] = features["image_features"], features["text_features"]
    outputs["scale"] = model.logit_scale.exp()
    outputs["logits_per_image"] = outputs["scale"] * outputs["image_norm"] @ outputs["text_norm"].T
    if "zeroshot_weights" in case.arrays:
        weights = build_zero_shot_weights(model, get_tokenizer(), spec["classnames"], spec["templates"])
        outputs["zeroshot_weights"] = weights.T
        outputs["zeroshot_logits"] = ZERO_SHOT_SCALE * outputs["image_norm"] @ weights.T
    assert set(case.arrays) <= {*outputs, "spec", "token_ids"}
    for name in outputs.keys() & case.arrays.keys():
        np.testing.assert_allclose(outputs[name], case.arrays[name], rtol=RTOL, atol=ATOL, err_msg=name)
