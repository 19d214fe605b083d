"""EVA-02-CLIP: outputs of both towers, gradients, patch dropout; the release's LAMB."""

import numpy as np
import pytest
import torch
from timm.optim import Lamb

from eva_clip.contrastive_loss import contrastive_loss
from eva_clip.parameter_groups import tower_layer_decay_groups

from ..case import GoldenCase, family
from .classification_losses import assert_gradients
from .clip_model import ATOL, RTOL, build_clip, build_drawn, compare_outputs


def draw_pairs(spec: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw images, then texts that end at random positions with the largest id, from one generator."""
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    images = generator.standard_normal(tuple(spec["image_shape"])).astype(np.float32)
    text = spec["config"]["text_cfg"]
    length, end = text["context_length"], text["vocab_size"] - 1
    ids = generator.integers(1, end, (len(images), length))
    for row in ids:
        num_tokens = generator.integers(3, length + 1)
        row[num_tokens - 1], row[num_tokens:] = end, 0
    return torch.from_numpy(images), torch.from_numpy(ids)


@family("eva02_clip_forward")
def check_forward(case: GoldenCase) -> None:
    model = build_drawn(case.spec)
    pixels, token_ids = draw_pairs(case.spec)
    assert token_ids.equal(case.tensor("token_ids"))
    compare_outputs(case, model, pixels, token_ids)
    features = model({"image": pixels, "text": token_ids})
    loss = contrastive_loss(features["image_features"], features["text_features"], model.logit_scale.exp())
    assert loss.item() == pytest.approx(case.arrays["loss"].item(), rel=RTOL, abs=ATOL)
    loss.backward()
    assert_gradients(model, case.spec["grads"])


@family("eva02_clip_patch_dropout")
@torch.no_grad()
def check_patch_dropout(case: GoldenCase) -> None:
    tower, kept = build_drawn(case.spec).visual, case.tensor("keep_indices")
    generator = np.random.Generator(np.random.PCG64(case.spec["input_seed"]))
    pixels = torch.from_numpy(generator.standard_normal(tuple(case.spec["image_shape"])).astype(np.float32))
    np.testing.assert_allclose(tower(pixels), case.arrays["image_embed_eval"], rtol=RTOL, atol=ATOL)
    drawn = tower.draw_kept_patches(len(pixels), torch.Size(tower.pos_grid).numel(), pixels.device)
    assert drawn.shape == kept.shape
    tower.draw_kept_patches = lambda *_args, **_keywords: kept
    np.testing.assert_allclose(tower.train()(pixels), case.arrays["image_embed"], rtol=RTOL, atol=ATOL)


@family("eva02_lamb")
def check_lamb(case: GoldenCase) -> None:
    """timm's LAMB is that of the release; its published runs used DeepSpeed's, which is `eva_clip.lamb.Lamb`."""
    spec = case.spec
    generator = np.random.Generator(np.random.PCG64(spec["seed"]))

    def draw(scale: float = 1.0) -> dict[str, torch.Tensor]:
        values = {name: generator.standard_normal(tuple(shape)) * scale for name, shape in spec["shapes"].items()}
        return {name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()}

    parameters = {name: torch.nn.Parameter(value) for name, value in draw().items()}
    lr, decay = spec["lr"], spec["weight_decay"]
    settings = {"W": (lr, decay), "V": (lr / 2, decay), "b": (lr, 0.0)}
    groups = [{"params": [parameters[name]], "lr": lr, "weight_decay": wd} for name, (lr, wd) in settings.items()]
    optimizer = Lamb(groups, betas=tuple(spec["betas"]), eps=spec["eps"], max_grad_norm=spec["max_grad_norm"])
    for _ in range(spec["steps"]):
        for name, gradient in draw(spec["grad_scale"]).items():
            parameters[name].grad = gradient
        optimizer.step()
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.detach(), case.arrays[name], rtol=0, atol=1e-6, err_msg=name)


def check_clip_groups(settings: dict) -> None:
    """Compare the parameter groups of a CLIP model, one of the recipes of `eva02_param_groups`."""
    names = [name for group in settings["groups"] for name in group["names"]]
    sides = {"image_size": 28, "patch_size": 14, "width": 8, "head_width": 4, "mlp_ratio": 2.0, "drop_path_rate": 0.0}
    lengths = {"context_length": 8, "vocab_size": 16, "width": 8, "heads": 2, "layers": settings["text_layers"]}
    config = {"embed_dim": 4, "vision_cfg": {**settings["vision"], **sides}, "text_cfg": lengths}
    with torch.device("meta"):
        model = build_clip(config, names)
    groups = tower_layer_decay_groups(
        model,
        settings["visual_lr"],
        settings["text_lr"],
        settings["lr"],
        settings["weight_decay"],
        settings["visual_ld"],
        settings["text_ld"],
    )
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted(name_of.values()) == sorted(names)
    found = [[group["lr"], group["weight_decay"], [name_of[id(p)] for p in group["params"]]] for group in groups]
    expected = [[g["lr"] * g["lr_scale"], g["weight_decay"], g["names"]] for g in settings["groups"]]
    # The release lists the logit scale last, after both towers; in the model it is the first parameter.
    assert sorted(found) == sorted(expected)
    assert [group for group in found if "logit_scale" not in group[2]] == expected[:-1]
