"""Video classifiers: features, logits, loss and gradients; weights of image models and of shorter clips."""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from eva_video import VideoClassifier, VideoStateDictAdapter
from eva_video.state_dict_adapter import HEAD, PATCH, POSITIONS

from ..case import GoldenCase, family
from ..weights import draw_normal

ATOL, RTOL = 2e-5, 1e-4
PATCH_SIZE = 14
EVERY = 5  # a case stores every fifth patch token


def draw_by_name(
    shapes: Mapping[str, Sequence[int]], seed: int, factors: Mapping[str, float]
) -> dict[str, torch.Tensor]:
    """Draw weights from one generator over the sorted names, with a scale by name and shape, times `factors`."""
    generator = np.random.Generator(np.random.PCG64(seed))
    state = {}
    for name in sorted(shapes):
        z = generator.standard_normal(tuple(shapes[name]))
        if name.endswith(("pos_embed", "cls_token")):
            value = 0.2 * z
        elif z.ndim == 1:
            value = 0.1 * z + name.endswith("weight")
        else:
            value = z * math.prod(z.shape[1:]) ** -0.5
        value = torch.from_numpy(value.astype(np.float32))
        for end, factor in factors.items():
            if name.endswith(end):
                value = value * factor
        state[name] = value
    return state


@family("video forward")
def check_video_classifier(case: GoldenCase) -> None:
    spec, config = case.spec, case.spec["config"]
    names = ("img_size", "patch_size", "num_frames", "tubelet_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
    pooling = "mean" if config["use_mean_pooling"] else "class"
    options = {name: config[name] for name in names}
    options["qkv_bias"] = "qv" if config["qkv_bias"] else "none"
    smoothing = float(re.search(r"label smoothing (\d+\.\d+)", spec["loss"])[1])
    model = VideoClassifier(config["num_classes"], pooling=pooling, smoothing=smoothing, **options)
    model.load_state_dict(draw_by_name(spec["shapes"], spec["weight_seed"], spec.get("then_multiply_by_suffix", {})))
    clips = draw_normal(spec["input_seed"], spec["input_shape"]).transpose(1, 2)  # frames before channels

    outputs = {
        "features": model.forward_head(model.forward_features(clips), pre_logits=True),
        "patch_tokens": model.forward_patch_features(clips)[:, ::EVERY],
        "logits": model(clips),
    }
    for name, found in outputs.items():
        np.testing.assert_allclose(found.detach(), case.arrays[name], rtol=RTOL, atol=ATOL, err_msg=name)

    loss = model({"video": clips, "label": torch.tensor(spec["target"])})["loss_cls"]
    np.testing.assert_allclose(loss.item(), case.arrays["loss"], rtol=0, atol=2e-6)
    loss.backward()
    gradients = {
        "grad_pos_embed": model.pos_embed.grad,
        "grad_patch_weight": model.patch_embed.proj.weight.grad[:8],
        "grad_q_bias0": model.blocks[0].attn.q_bias.grad,
        "grad_head": model.head.weight.grad,
    }
    for name, found in gradients.items():
        expected = case.arrays[name]
        atol = 1e-6 + 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


def build_on_meta(num_classes: int, num_frames: int, img_size: int, dim: int, **options) -> VideoClassifier:
    with torch.device("meta"):
        return VideoClassifier(
            num_classes,
            num_frames=num_frames,
            img_size=img_size,
            patch_size=PATCH_SIZE,
            embed_dim=dim,
            depth=1,
            num_heads=1,
            **options,
        )


@family("image checkpoint -> video weights")
def check_inflation(case: GoldenCase) -> None:
    spec, dim = case.spec, case.spec["dim"]
    side = spec["img_size"] // PATCH_SIZE
    weights = {
        PATCH: draw_normal(spec["seed_w"], (dim, 3, PATCH_SIZE, PATCH_SIZE)),
        "patch_embed.proj.bias": draw_normal(spec["seed_b"], (dim,)),
        POSITIONS: draw_normal(spec["seed_p"], (1, 1 + side**2, dim)),
    }
    model = build_on_meta(3, spec["num_frames"], spec["img_size"], dim, tubelet_size=spec["tubelet_size"])
    found = weights | model.adapt_state_dict(weights)
    expected = {PATCH: "patch_weight", "patch_embed.proj.bias": "patch_bias", POSITIONS: "pos_embed"}
    for name, array in expected.items():
        assert found[name].shape == model.state_dict()[name].shape
        part = tuple(slice(length) for length in case.arrays[array].shape)
        np.testing.assert_allclose(found[name][part], case.arrays[array], rtol=0, atol=1e-7, err_msg=name)


@family("video checkpoint -> other frame count / size / label set")
def check_transfer(case: GoldenCase) -> None:
    dim, kept = case.spec["dim"], case.spec["channels_kept"]
    for number, row in enumerate(case.spec["cases"]):
        num_patches = row["f0"] * (row["s0"] // PATCH_SIZE) ** 2
        weights = {
            POSITIONS: draw_normal(row["seed_pos"], (1, 1 + num_patches, dim)),
            "head.weight": draw_normal(row["seed_head_w"], (row["head_rows"], dim)),
            "head.bias": draw_normal(row["seed_head_b"], (row["head_rows"],)),
        }
        adapter = VideoStateDictAdapter(row["f0"], row["s0"], row["head_rows"], row["mapping"])
        model = build_on_meta(len(row["mapping"]), row["f1"], row["s1"], dim, state_dict_adapter=adapter)
        found = weights | model.adapt_state_dict(weights)
        for name, array in zip((POSITIONS, *HEAD), ("pos", "head_w", "head_b"), strict=True):
            assert found[name].shape == model.state_dict()[name].shape
            expected = case.arrays[f"{array}_{number}"]
            np.testing.assert_allclose(found[name][..., :kept], expected, rtol=0, atol=1e-5, err_msg=name)
