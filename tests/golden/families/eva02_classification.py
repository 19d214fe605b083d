"""EVA-02's classifiers and pre-training: outputs, gradients, parameter groups, the conversion to patch 16."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from eva_classification import Classifier
from eva_clip.teacher import EvaClipTeacher
from eva_engine.commands.verbs import main
from eva_engine.training.adaptation import freeze_parameters

from ..case import GoldenCase, family
from .classification_backbone import TOLERANCE, build_classifier, draw_entries
from .classification_initial import check_drop_path
from .classification_losses import assert_gradients
from .classification_training import check_training_steps
from .eva02_clip import check_clip_groups
from .eva02_upernet import check_upernet_groups
from .masked_image_modelling import compare_masked_image_model
from .parameter_groups import build_on_meta, find_groups


def build_eva02(spec: dict, **options: Any) -> Classifier:
    """Build a classifier of the case; the reference freezes the patch embedding unless the case says otherwise."""
    model = build_classifier(spec["config"], draw_entries(spec), smoothing=spec["smoothing"], **options)
    if spec["config"].get("stop_grad_conv1", True):
        freeze_parameters(model, ["patch_embed.*"])
    return model


@family("eva02_classifier")
def check_classifier(case: GoldenCase) -> None:
    spec, config = case.spec, case.spec["config"]
    model = build_eva02(spec).eval()
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    shape = (spec["batch"], 3, config["img_size"], config["img_size"])
    images = torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
    labels = torch.from_numpy(generator.integers(0, config["num_classes"], spec["batch"]))
    assert labels.equal(case.tensor("labels"))
    outputs = {}
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _module, _inputs, out, name=f"block_{i}": outputs.update({name: out}))
    tokens = model.forward_features(images)
    outputs["features"] = model.forward_head(tokens, pre_logits=True)
    outputs["logits"] = model.forward_head(tokens)
    outputs["patch_tokens"] = model.forward_patch_features(images)
    assert {"logits", "features", "block_0"} <= case.arrays.keys()
    for name in outputs.keys() & case.arrays.keys():
        found, expected = outputs[name].detach(), case.arrays[name]
        if name.startswith("block_") and found.shape != expected.shape:
            found = found[:, [0, 1, -1]]  # the class token, the first and the last patch
        scale = max(1.0, expected.std()) if name.startswith("block_") else 1.0
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale, err_msg=name)
    loss = model.train()({"image": images, "label": labels})["loss_cls"]
    assert loss.item() == pytest.approx(case.arrays["loss"].item(), rel=0, abs=2e-6)
    loss.backward()
    assert_gradients(model, spec["grads"])


@family("eva02_mim")
def check_masked_image_model(case: GoldenCase) -> None:
    def build_teacher(spec: dict, image_size: int) -> nn.Module:
        weights = {f"visual.{name}": value for name, value in draw_entries(spec).items()}
        return EvaClipTeacher(weights, image_size, num_heads=spec["config"]["num_heads"])

    compare_masked_image_model(case, build_teacher)


@family("eva02_train_3steps")
def check_steps(case: GoldenCase) -> None:
    check_training_steps(case, build_eva02(case.spec))


@family("eva02_param_groups")
def check_groups(case: GoldenCase) -> None:
    for recipe, settings in case.spec["recipes"].items():
        if settings["model"] == "upernet":
            check_upernet_groups(settings)
            continue
        if settings["model"] == "clip":
            check_clip_groups(settings)
            continue
        expected = [(group["lr_scale"], group["weight_decay"], group["names"]) for group in settings["groups"]]
        model = build_on_meta({name for *_, names in expected for name in names})
        assert model.depth == settings["num_layers"]
        found = find_groups(model, {settings["layer_decay"] or 1.0}, settings["weight_decay"])
        assert found == expected, recipe


family("eva02_drop_path")(check_drop_path)


@family("eva02_patch14to16")
def check_patch14to16(case: GoldenCase) -> None:
    """The file is a bare state dict, and its rotary tables stay as they are."""
    dim, generator = case.spec["d"], np.random.Generator(np.random.PCG64(case.spec["seed"]))
    shapes = {
        "patch_embed.proj.weight": (dim, 3, 14, 14),
        "pos_embed": (1, 257, dim),
        "mask_token": (1, 1, dim),
        "patch_embed.proj.bias": (dim,),
        "rope.freqs_cos": (16, 16, 8),
        "lm_head.bias": (5,),
    }
    dtype = getattr(torch, case.spec["dtype"].removeprefix("torch."))
    weights = {}
    for name, shape in shapes.items():
        weights[name] = torch.from_numpy(generator.standard_normal(shape).astype(np.float32)).to(dtype)
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.pt"), Path(folder, "out.pt")
        torch.save(weights, source)
        assert main(["interpolate-patch", str(source), str(output)]) == 0
        result = torch.load(output, weights_only=True)
    model = result.get("model", result)
    assert {name: [list(value.shape), str(value.dtype)] for name, value in model.items()} == case.spec["out_keys"]
    torch.testing.assert_close(model["patch_embed.proj.weight"], case.tensor("patch"), rtol=0, atol=1e-6)
    # The release interpolates positions in the type of the file, we in float32: one unit of float16 may differ.
    tolerance = 1e-6 if dtype is torch.float32 else 2e-3
    torch.testing.assert_close(model["pos_embed"].float(), case.tensor("pos").float(), rtol=0, atol=tolerance)
    for name in weights.keys() - {"patch_embed.proj.weight", "pos_embed"}:
        assert torch.equal(model[name], weights[name])
