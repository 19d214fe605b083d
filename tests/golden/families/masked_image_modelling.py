"""Pre-training: predictions, loss and gradients, the teacher's features, masks."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from eva_classification.mim import BlockMasking, ClipTeacher, MaskedImageModel

from ..case import GoldenCase, family
from ..weights import draw_normal
from .classification_backbone import TOLERANCE, backbone_options, draw_entries
from .classification_losses import assert_gradients

OTHER_SIZE_SEED = 5000


class GivenTeacher(nn.Module):
    """A teacher whose features of the masked patches `mask` are `values`."""

    def __init__(self, values: torch.Tensor, mask: torch.Tensor) -> None:
        super().__init__()
        self.features = torch.zeros(*mask.shape, values.shape[1])
        self.features[mask] = values

    def forward(self, _pixels: torch.Tensor) -> torch.Tensor:
        return self.features


BuildTeacher = Callable[[dict, int], nn.Module]  # from the spec of a teacher and the side of the images


def build_teacher(spec: dict, image_size: int) -> ClipTeacher:
    config = spec["config"]
    weights = {f"visual.{name}": value for name, value in draw_entries(spec).items()}
    return ClipTeacher(weights, image_size, num_heads=config["heads"])


@family("mim_")
def check_masked_image_model(case: GoldenCase) -> None:
    compare_masked_image_model(case, build_teacher)


def compare_masked_image_model(case: GoldenCase, build_teacher: BuildTeacher) -> None:
    spec, config = case.spec, case.spec["config"]
    entries = draw_entries(spec)
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    shape = (spec["batch"], 3, config["img_size"], config["img_size"])
    images = torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
    num_patches = (config["img_size"] // config["patch_size"]) ** 2
    mask = torch.from_numpy(generator.random((spec["batch"], num_patches)) < 0.4)
    assert mask.equal(case.tensor("mask"))
    if "teacher" in spec:
        teacher = build_teacher(spec["teacher"], config["img_size"])
        np.testing.assert_allclose(teacher(images), case.arrays["teacher_tokens"], rtol=0, atol=TOLERANCE)
        if "teacher_tokens_other_size" in case.arrays:
            check_teacher_of_other_size(case, build_teacher)
    else:
        values = generator.standard_normal((int(mask.sum()), config["predict_feature_dim"])).astype(np.float32)
        teacher = GivenTeacher(torch.from_numpy(values), mask)

    model = MaskedImageModel(
        teacher=teacher,
        teacher_dim=config["predict_feature_dim"],
        slow_patch_embed=config.get("stop_grad_conv1", False),
        **backbone_options(config, entries),
    )
    model.load_state_dict(entries)
    outputs = {"features": model.forward_features(images, mask), "predictions": model.predict(images, mask)}
    for name, found in outputs.items():
        np.testing.assert_allclose(found.detach(), case.arrays[name], rtol=0, atol=TOLERANCE, err_msg=name)
    np.testing.assert_allclose(model.teacher(images)[mask], case.arrays["target"], rtol=0, atol=TOLERANCE)
    loss = model({"image": images, "mask": mask})["loss_mim"]
    assert loss.item() == pytest.approx(case.arrays["loss"].item(), rel=0, abs=1e-6)
    loss.backward()
    assert_gradients(model, spec["grads"])


def check_teacher_of_other_size(case: GoldenCase, build_teacher: BuildTeacher) -> None:
    spec = case.spec["teacher"]
    expected = case.arrays["teacher_tokens_other_size"]
    side = round(expected.shape[1] ** 0.5) * spec["config"]["patch_size"]
    other = draw_normal(case.spec["input_seed"] + OTHER_SIZE_SEED, (1, 3, side, side))
    np.testing.assert_allclose(build_teacher(spec, side)(other), expected, rtol=0, atol=TOLERANCE)


@family("masking")
def check_masking(case: GoldenCase) -> None:
    for number, settings in enumerate(case.spec["generators"]):
        masking = BlockMasking(
            settings["input_size"],
            settings["num_masking_patches"],
            settings["min_num_patches"],
            settings["max_num_patches"],
        )
        for seed, packed in enumerate(case.arrays[f"trace_{number}"]):
            mask = masking.draw(random.Random(seed + case.spec["seed_offset"]))
            np.testing.assert_array_equal(np.packbits(mask), packed)
        check_distribution(masking, settings, case.arrays[f"cell_prob_{number}"])


def check_distribution(masking: BlockMasking, settings: dict, cell_probability: np.ndarray) -> None:
    num_drawn = 2000
    rng = random.Random(0)
    masks = np.stack([masking.draw(rng) for _ in range(num_drawn)])
    counts = masks.sum(axis=(1, 2))
    # five standard errors of the difference of two samples
    spread = 5 * np.sqrt(1 / num_drawn + 1 / settings["n_samples"])
    assert counts.max() <= settings["num_masking_patches"]
    assert abs(counts.mean() - settings["mean"]) < spread * counts.std()
    assert abs((counts == settings["num_masking_patches"]).mean() - settings["frac_exact"]) < spread * 0.5
    assert np.abs(masks.mean(axis=0) - cell_probability).max() < spread * 0.5
