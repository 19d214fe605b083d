"""EVA-02 in the detector: backbone, rotary positions, gated MLP."""

import numpy as np
import torch
from torch import nn

from detectron2_ext.modeling.vit import ViT
from eva_backbone.mlp import SwiGLU
from eva_backbone.rotary import Rotation, grid_rotation

from ..case import GoldenCase, family
from ..listed_draws import assert_near
from ..weights import draw_normal, draw_state_dict, fill_model
from .detection_backbone import TOLERANCE, assert_close, compare_backbone

# the reference has these without options, or ignores them
_FIXED = {"beit_like_qkv_bias", "rope", "subln", "naiveswiglu", "use_rel_pos"}


def eva02_vit(constructor: dict) -> ViT:
    """Build the backbone from the reference's options."""
    options = {name: value for name, value in constructor.items() if name not in {*_FIXED, "xattn"}}
    return ViT(**options, beit_like_qkv_bias=options["qkv_bias"], rope=True, subln=True, naiveswiglu=True)


@family("eva02_vit", "eva02_vit_other_size")
def check_backbone(case: GoldenCase) -> None:
    model = fill_model(eva02_vit(case.spec["constructor"]), case.spec, case.arrays["sd_abs_sums"])
    compare_backbone(case, model, assert_near_peak)


def assert_near_peak(actual: torch.Tensor, expected: np.ndarray) -> None:
    """Compare relative to the largest value: the reference's own gradients are up to 1e-5 deviations from float64."""
    assert_near(actual, expected, "input_grad", TOLERANCE)


def square_rotation(side: int, head_dim: int, position_range: float | None) -> Rotation:
    return grid_rotation((side, side), head_dim, position_range, 0, torch.device("cpu"))


def full_table(half: torch.Tensor) -> torch.Tensor:
    """Repeat the entry of each pair of channels, as the reference stores it."""
    return half.repeat_interleave(2, dim=-1)


@family("eva02_rope_tables")
def check_tables(case: GoldenCase) -> None:
    for table in case.spec["tables"]:
        i = table["index"]
        side = table["ft_seq_len"] or table["pt_seq_len"]
        rotation = square_rotation(side, table["head_dim"], table["pt_seq_len"])
        for name, half in (("cos", rotation.cos), ("sin", rotation.sin)):
            np.testing.assert_array_equal(full_table(half), case.arrays[f"{name}_{i}"])
        x = draw_normal(table["x_seed"], table["x_shape"]).requires_grad_()
        rotated = rotation.apply(x)
        assert_close(rotated[0, 0], case.arrays[f"rotated_{i}"])
        (rotated * draw_normal(table["cotangent_seed"], table["x_shape"])).sum().backward()
        assert_close(x.grad[1, 2], case.arrays[f"x_grad_{i}"])
    for table in case.spec["full_size"]:
        side, position_range = table["ft_seq_len"], table["pt_seq_len"]
        rotation = square_rotation(side, 2 * table["dim"], position_range)
        for name, half in (("cos", rotation.cos), ("sin", rotation.sin)):
            full = full_table(half).double()
            np.testing.assert_array_equal(full[table["rows"]], case.arrays[f"full_{name}_{position_range}_{side}"])
            weight = 1 + torch.arange(len(full)) * 7 % 13
            sums = [full.sum(), full.abs().sum(), (full * weight[:, None]).sum()]
            np.testing.assert_allclose(sums, table["sums"][name], rtol=1e-12)


@family("eva02_rope")
def check_rotation(case: GoldenCase) -> None:
    generator = np.random.Generator(np.random.PCG64(case.spec["seed"]))

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))

    for i, table in enumerate(case.spec["tables"]):
        side, head_dim = table["grid"], table["head_dim"]
        rotation = square_rotation(side, head_dim, table["pt_hw_seq_len"])
        for name, half in (("cos", rotation.cos), ("sin", rotation.sin)):
            np.testing.assert_array_equal(full_table(half), case.arrays[f"{name}_{i}"])
        assert_close(rotation.apply(draw(1, 2, side**2, head_dim)), case.arrays[f"rotated_{i}"])
        if i == 0:
            keep = np.stack([generator.permutation(side**2)[: side**2 // 2] for _ in range(2)])
            np.testing.assert_array_equal(keep, case.arrays["keep"])
            kept = rotation.select(torch.from_numpy(keep))
            assert_close(kept.apply(draw(2, 2, side**2 // 2, head_dim)), case.arrays["rotated_kept"])


@family("eva02_swiglu")
def check_gated_mlp(case: GoldenCase) -> None:
    for block in case.spec["blocks"]:
        i, hidden = block["index"], block["hidden_features"]
        mlp = SwiGLU(block["in_features"], hidden, packed=False, norm=block["subln"])
        mlp.w3 = nn.Linear(hidden, block["out_features"] or block["in_features"])
        shapes = {name: list(value.shape) for name, value in mlp.state_dict().items()}
        assert shapes == block["state_dict_shapes"]
        mlp.load_state_dict(draw_state_dict(shapes, case.spec["weight_rules"], block["weight_seed"]))
        x = draw_normal(block["x_seed"], block["x_shape"]).requires_grad_()
        output = mlp(x)
        assert_close(output, case.arrays[f"output_{i}"])
        (output * draw_normal(block["cotangent_seed"], output.shape)).sum().backward()
        assert_close(x.grad, case.arrays[f"x_grad_{i}"])
        norms = [mlp.get_parameter(name).grad.double().norm() for name in block["param_grad_order"]]
        np.testing.assert_allclose(norms, case.arrays[f"param_grad_norms_{i}"], rtol=1e-5)
