"""The adapter around the ViT, and its parts: deformable attention, spatial prior, injector, extractor."""

from typing import Any

import numpy as np
import torch

from eva_backbone.patch_embed import resize_patch_kernel
from eva_backbone.position import resize_pos_embed
from eva_semseg.adapter import FEATURE_NAMES, AdapterBackbone
from eva_semseg.deformable_attention import deformable_attention, pixel_centres
from eva_semseg.interaction import Extractor, Injector
from eva_semseg.spatial_prior import SpatialPrior

from ..case import GoldenCase, family
from ..listed_draws import assert_near, draw_inputs, fill_listed

GRADIENTS = 1e-4  # tolerance of gradients of the full backbone, relative to the largest


def read_inputs(spec: dict[str, Any]) -> dict[str, torch.Tensor]:
    return draw_inputs(spec["inputs"], spec["seed_inputs"], spec.get("input_sha256"))


@family("msda_core")
def check_deformable_attention(case: GoldenCase) -> None:
    inputs = read_inputs(case.spec)
    locations = inputs["locations"].requires_grad_()
    value = inputs["value"].requires_grad_()
    weights = inputs["weight_logits"].softmax(-1).view(locations.shape[:-1]).requires_grad_()
    out = deformable_attention(value, [tuple(shape) for shape in case.spec["shapes_hw"]], locations, weights)
    out.backward(inputs["grad_out"])
    found = {"out": out, "grad_value": value.grad, "grad_locations": locations.grad, "grad_weights": weights.grad}
    for name, expected in case.arrays.items():
        assert_near(found[name], expected, name)


@family("spm")
def check_spatial_prior(case: GoldenCase) -> None:
    spec, image = case.spec, read_inputs(case.spec)["image"]
    prior = fill_listed(SpatialPrior(spec["embed_dim"], spec["inplanes"]), spec["weights"], spec["seed_weights"])
    found = {}
    for mode in ("eval", "train"):
        prior.train(mode == "train")
        for number, features in enumerate(prior(image), 1):
            found[f"{mode}_c{number}"] = features[:1] if number == 1 else features
    found |= {f"after_train.{name}": value for name, value in prior.state_dict().items()}
    for name, expected in case.arrays.items():
        assert_near(found[name], expected, name)


@family("injector_extractor")
def check_injector_and_extractor(case: GoldenCase) -> None:
    spec, inputs = case.spec, read_inputs(case.spec)
    height, width = grid = spec["H"], spec["W"]
    prior_grids = ((2 * height, 2 * width), grid, (height // 2, width // 2))
    options = (spec["dim"], spec["heads"], spec["points"], spec["deform_ratio"])
    injector = fill_listed(Injector(*options), spec["injector_weights"], spec["seed_injector"])
    extractor = Extractor(*options, spec["cffn_ratio"])
    extractor = fill_listed(extractor, spec["extractor_weights"], spec["seed_extractor"]).eval()
    x, c = inputs["x"].requires_grad_(), inputs["c"].requires_grad_()
    found = {
        "ref_points_injector": pixel_centres([grid]),
        "ref_points_extractor": pixel_centres(prior_grids),
        "injector_out": injector(x, c, grid, prior_grids),
        "extractor_out": extractor(c, x, prior_grids, grid),
    }
    for part, short in (("injector", "inj"), ("extractor", "ext")):
        gradients = torch.autograd.grad(found[f"{part}_out"].square().sum(), (x, c))
        found |= {f"{short}_grad_x": gradients[0], f"{short}_grad_c": gradients[1]}
    for name, expected in case.arrays.items():
        assert_near(found[name], expected, name)


def build_adapter(config: dict[str, Any]) -> AdapterBackbone:
    """Build the backbone from the configuration of a case."""
    same = ("depth", "embed_dim", "num_heads", "patch_size", "drop_path_rate", "mlp_ratio")
    return AdapterBackbone(
        **{name: config[name] for name in same},
        img_size=tuple(config["img_size"]),
        qkv_bias="qv" if config["qkv_bias"] else "none",
        abs_pos=config["use_abs_pos_emb"],
        rel_pos="joint" if config["use_rel_pos_bias"] else None,
        layer_scale=config["init_values"],
        prior_width=config["conv_inplane"],
        deform_heads=config["deform_num_heads"],
        deform_points=config["n_points"],
        deform_ratio=config["deform_ratio"],
        ffn_ratio=config["cffn_ratio"],
        block_groups=[(group[0], group[-1]) for group in config["interaction_indexes"]],
    )


@family("adapter_backbone")
def check_adapter_backbone(case: GoldenCase) -> None:
    spec, inputs = case.spec, read_inputs(case.spec)
    model = fill_listed(build_adapter(spec["config"]), spec["weights"], spec["seed_weights"]).eval()
    image = inputs["image"].requires_grad_()
    maps = model(image)
    found = {f"f{number}": maps[name] for number, name in enumerate(FEATURE_NAMES, 1)}
    sum((found[name] * inputs[f"grad_{name}"]).sum() for name in found).backward()
    parameters = dict(model.named_parameters())
    assert [name for name, parameter in parameters.items() if parameter.grad is None] == spec["params_without_grad"]
    for name, expected in case.arrays.items():
        if name in found:
            assert_near(found[name], expected, name)
        elif name == "grad_image":
            assert_near(image.grad, expected, name, GRADIENTS)
        else:
            assert_near(parameters[name.removeprefix("grad.")].grad, expected, name, GRADIENTS)


@family("init_interpolation")
def check_resized_starting_weights(case: GoldenCase) -> None:
    inputs = list(read_inputs(case.spec).values())
    patches, positions = inputs
    for name, expected in case.arrays.items():
        if name.startswith("patch_weight"):
            found = resize_patch_kernel(patches, expected.shape[2:])
        else:
            side = round(np.sqrt(expected.shape[1] - 1))
            positions = found = resize_pos_embed(positions, (side, side))  # one resize after the other
        assert_near(found, expected, name)
