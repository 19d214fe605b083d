"""The backbone agrees with independent implementations (timm's EVA, stock Detectron2's ViT); presets and options."""

import pytest
import timm
import torch
from detectron2.modeling.backbone.vit import ViT as StockViT

from detectron2_ext.modeling.vit import ViT
from eva_backbone import PRESETS, VisionTransformer, create_backbone
from eva_backbone.errors import InputError
from eva_backbone.layer_norm import LayerNorm
from eva_backbone.relative_position_bias import decoupled_index, joint_index, resize_joint_table

WINDOWED = {
    "img_size": 64,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 4,
    "num_heads": 4,
    "window_size": 4,
    "window_block_indexes": [0, 1, 2],
    "use_rel_pos": True,
    "pretrain_img_size": 56,
}


def randomize(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


@pytest.mark.parametrize("size", [(64, 64), (56, 72), (96, 80)])
@pytest.mark.parametrize("residual", [[], [1, 3]])
def test_equals_stock_detectron2(size, residual):
    stock = randomize(StockViT(**WINDOWED, residual_block_indexes=residual, norm_layer=torch.nn.LayerNorm)).eval()
    for module in stock.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    ours = ViT(**WINDOWED, residual_block_indexes=residual).eval()
    ours.load_state_dict(stock.state_dict())
    pixels = torch.randn(2, 3, *size)
    torch.testing.assert_close(ours(pixels)["last_feat"], stock(pixels)["last_feat"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("depth", "width", "heads", "ratio", "img_size"), [(3, 64, 4, 4.3637, 56), (1, 1408, 16, 4.3637, 28)]
)
def test_equals_timm(depth, width, heads, ratio, img_size):
    reference = timm.create_model(
        "eva_giant_patch14_224", depth=depth, embed_dim=width, num_heads=heads, mlp_ratio=ratio, img_size=img_size
    ).eval()
    ours = VisionTransformer(
        img_size=img_size, depth=depth, embed_dim=width, num_heads=heads, mlp_ratio=ratio, final_norm=False
    ).eval()
    result = ours.load_state_dict(reference.state_dict(), strict=False)
    assert not result.missing_keys
    assert {name.split(".")[0] for name in result.unexpected_keys} == {"fc_norm", "head"}
    own_order = list(ours.state_dict())
    assert own_order == [name for name in reference.state_dict() if name in set(own_order)]
    pixels = torch.randn(2, 3, img_size, img_size)
    torch.testing.assert_close(ours(pixels), reference.forward_features(pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"use_act_checkpoint": True}, {"attention": "eager"}, {"attention": "sdpa"}])
def test_options_that_must_not_change_results(options):
    plain = randomize(ViT(**WINDOWED, beit_like_qkv_bias=True))
    other = ViT(**WINDOWED, beit_like_qkv_bias=True, **options)
    other.load_state_dict(plain.state_dict())
    pixels = torch.randn(1, 3, 64, 64)
    for model in (plain, other):
        model(pixels)["last_feat"].square().sum().backward()
    gradients = dict(other.named_parameters())
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-3, atol=1e-3, msg=name)


def test_beit_resize_trains_the_tables():
    model = randomize(ViT(**{**WINDOWED, "interp_type": "beit"}))
    model(torch.randn(1, 3, 96, 80))["last_feat"].sum().backward()
    assert model.blocks[3].attn.rel_pos_h.grad.abs().sum() > 0


@pytest.mark.parametrize("frames", [2, 4])
def test_clips_of_one_repeated_frame_see_tubelets(frames):
    model = create_backbone("tiny", img_size=28, num_frames=4, tubelet_size=2).eval()
    tokens = model(torch.randn(1, 3, 4, 28, 28))
    assert tokens.shape == (1, 1 + 2 * 2 * 2, 128)
    assert model.pos_embed.shape[1] == 1 + 2 * 2 * 2
    assert torch.isfinite(model(torch.randn(1, 3, frames, 28, 28))).all()  # positions follow another length


def test_position_table_without_an_entry_for_the_class_token():
    model = create_backbone("tiny", img_size=28, pos_prefix_tokens=0)
    tokens = model.add_positions(torch.zeros(1, 4, 128), (2, 2))
    assert torch.equal(tokens[0, 0], model.cls_token[0, 0])
    assert torch.equal(tokens[0, 1:], model.pos_embed[0])


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_build_on_the_meta_device(preset):
    with torch.device("meta"):
        model = create_backbone(preset)
    count = sum(parameter.numel() for parameter in model.parameters())
    # giant: the parameter count of the published MIM model minus its mask token and prediction head
    expected = {"giant": 1_012_229_632 - 1408 - 1409 * 768, "large": 304e6, "base": 86e6, "tiny": 0.9e6}
    expected |= {"eva02_tiny": 5.5e6, "eva02_small": 21.6e6, "eva02_base": 86e6, "eva02_large": 303e6}
    expected["eva02_enormous"] = 4.35e9
    assert count == pytest.approx(expected[preset], rel=0 if preset == "giant" else 0.01)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"window_blocks": [0], "window_size": 4}, "do not work with clips or a class token"),
        ({"class_token": False, "shared_rel_pos": "joint"}, "need a class token; give class_token=True"),
        ({"class_token": False, "window_blocks": [1]}, "window_size=0 is not a side for window_blocks; give 1 or more"),
        (
            {"class_token": False, "window_blocks": [0, 4], "window_size": 2},
            "names block 4, but the blocks are 0 to 3",
        ),
        (
            {"class_token": False, "residual_blocks": [-1]},
            "residual_blocks names block -1",
        ),
        ({"drop_path_rate": 1.0}, "drop_path_rate=1.0 is out of range"),
        ({"drop_path_rate": float("nan")}, "drop_path_rate=nan is out of range"),
        ({"qkv_bias": True}, "qkv_bias=True is not known; choose one of qv, full, none"),
        ({"rel_pos": "relative"}, "rel_pos='relative' is not known"),
        ({"rel_pos": "joint", "rel_pos_resize": "bicubic"}, "choose one of vitdet, beit"),
        ({"shared_rel_pos": "axes"}, "shared_rel_pos='axes' is not known"),
        ({"num_heads": 3}, "dim=128 is not divisible by num_heads=3"),
    ],
)
def test_impossible_combinations_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        create_backbone("tiny", **arguments)


def test_a_size_that_is_not_a_multiple_of_the_patch_size_is_refused():
    with pytest.raises(InputError, match=r"30\) cannot be divided into patches of size \(14, 14\)"):
        create_backbone("tiny")(torch.zeros(1, 3, 28, 30))


@pytest.mark.parametrize("size", [(42, 42), (56, 28)])
@pytest.mark.parametrize(
    "layout", [{"shared_rel_pos": "joint"}, {"shared_rel_pos": "decoupled"}, {"rel_pos": "decoupled"}]
)
def test_tables_that_cannot_be_resized_are_refused_for_another_grid(layout, size):
    model = create_backbone("tiny", img_size=(28, 56), **layout)
    model(torch.zeros(1, 3, 28, 56))
    with pytest.raises(InputError, match=r"of \(2, 4\) patches do not fit"):
        model(torch.zeros(1, 3, *size))


@pytest.mark.parametrize(
    "layout",
    [
        {"rel_pos": "joint", "rel_pos_resize": "beit"},
        {"rel_pos": "decomposed", "rel_pos_resize": "beit", "class_token": False},
        {"shared_rel_pos": "joint"},
        {"rel_pos": "decoupled"},
    ],
)
def test_training_after_an_evaluation_of_the_same_size(layout):
    model = create_backbone("tiny", img_size=(14, 154), **layout)  # sizes that no other test makes constants for
    size = (14, 154) if "shared_rel_pos" in layout or layout["rel_pos"] == "decoupled" else (14, 140)
    with torch.inference_mode():
        model(torch.zeros(1, 3, *size))
    model(torch.randn(1, 3, *size)).sum().backward()


@pytest.mark.parametrize("make", [joint_index, lambda *key: decoupled_index(*key)[0]])
def test_indices_are_computed_once_on_the_requested_device(make):
    assert make((2, 3), torch.device("meta")).is_meta
    with torch.device("meta"):
        index = make((2, 3), torch.device("cpu"))
    assert index.device.type == "cpu"
    assert make((2, 3), torch.device("cpu")) is index


@pytest.mark.parametrize("grid", [(3, 4), (2, 7), (5, 3)])
def test_joint_table_of_a_block_is_resized_axis_by_axis(grid):
    table = torch.randn(7 * 5 + 3, 2)
    resized = resize_joint_table(table, (4, 3), grid, "vitdet")
    maps = table[:-3].T.unflatten(1, (7, 5))[None]
    size = [2 * side - 1 for side in grid]
    maps = torch.nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(resized, torch.cat([maps[0].flatten(1).T, table[-3:]]))
    assert resize_joint_table(table, (4, 3), (4, 3), "vitdet") is table


def test_joint_tables_of_blocks_learn_from_images_of_any_size():
    model = create_backbone("tiny", img_size=(28, 56), rel_pos="joint")
    assert model.pos_grid == (2, 4)
    model(torch.randn(1, 3, 42, 28)).sum().backward()
    assert all(block.attn.relative_position_bias_table.grad.any() for block in model.blocks)


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_norm_of_bfloat16_is_computed_in_float32(weights):
    """Only the result is rounded, to 8 significant bits; a mean computed in bfloat16 would be off by more."""
    tokens = (100 + torch.randn(5, 1408)).bfloat16()
    norm = LayerNorm(1408)
    torch.nn.init.normal_(norm.weight)
    norm = norm.to(weights)
    found = norm(tokens)
    expected = torch.nn.functional.layer_norm(tokens.double(), (1408,), norm.weight.double(), eps=1e-6)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=1e-5)
