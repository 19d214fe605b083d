"""EVA-CLIP: outputs of both towers, logits, zero-shot weights."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from eva_backbone.mlp import NormedMlp
from eva_clip import Clip, ImageTower, TextTransformer, get_tokenizer
from eva_clip.evaluation.zero_shot_classifier import build_zero_shot_weights

from ..case import GoldenCase, family
from ..weights import draw_normal
from .classification_backbone import named_options

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


def build_clip(config: Mapping, names: Collection[str]) -> Clip:
    """Build the model of a `config` with the release's option names, and of the names of its weights."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    visual = ImageTower(
        config["embed_dim"],
        img_size=vision["image_size"],
        patch_size=vision["patch_size"],
        embed_dim=vision["width"],
        depth=vision["layers"],
        num_heads=vision["width"] // vision["head_width"],
        mlp_ratio=vision["mlp_ratio"],
        drop_path_rate=vision["drop_path_rate"],
        patch_dropout=vision.get("patch_dropout", 0.0),
        rope=vision.get("rope", False),
        rope_range=vision["pt_hw_seq_len"] if vision.get("intp_freq") else None,
        post_norm=vision.get("postnorm", False),
        **named_options({name.removeprefix("visual.") for name in names if name.startswith("visual.")}),
    )
    for module in visual.modules():
        if isinstance(module, NormedMlp):
            module.ffn_ln.eps = 1e-5  # the release does not give this norm its own epsilon
    return Clip(
        visual,
        TextTransformer(
            config["embed_dim"],
            context_length=text["context_length"],
            vocab_size=text["vocab_size"],
            width=text["width"],
            num_heads=text["heads"],
            num_layers=text["layers"],
            quick_gelu=config.get("quick_gelu", False),
            logit_scale="text.logit_scale" in names,
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


def build_drawn(spec: Mapping) -> Clip:
    """Build the model of a case with its weights, in evaluation mode."""
    model = build_clip(spec["config"], spec["shapes"]).eval()
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert shapes == spec["shapes"]
    model.load_state_dict(draw_entries(spec))
    return model


@torch.no_grad()
def compare_outputs(case: GoldenCase, model: Clip, pixels: torch.Tensor, token_ids: torch.Tensor) -> None:
    spec = case.spec
    blocks, normed = [], []
    # The class token, the first and the last patch; cases without the first patch have two tokens per block.
    tokens = [0, 1, -1] if case.arrays["block_tokens"].shape[2] == 3 else [0, -1]
    for block in model.visual.blocks:
        block.register_forward_hook(lambda _module, _inputs, out: blocks.append(out[:, tokens]))
    model.visual.norm.register_forward_hook(lambda _module, _inputs, out: normed.append(out))
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
    assert set(case.arrays) <= {*outputs, "spec", "token_ids", "loss"}
    for name in outputs.keys() & case.arrays.keys():
        np.testing.assert_allclose(outputs[name], case.arrays[name], rtol=RTOL, atol=ATOL, err_msg=name)


@family("EVA-CLIP forward")
def check_clip(case: GoldenCase) -> None:
    spec = case.spec
    pixels = draw_normal(spec["input_seed"], spec["image_shape"])
    compare_outputs(case, build_drawn(spec), pixels, find_token_ids(case))
