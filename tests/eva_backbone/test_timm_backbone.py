"""Plain ViTs of timm as backbones: features and weights are those of timm, windows those of masked attention."""

import logging
import re

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_backbone.timm_backbone import TimmBackbone
from eva_backbone.timm_models import pixel_mean, pixel_std, token_width
from eva_engine.checkpoint import load_checkpoint
from eva_engine.checkpoint.resizing import resize_entry
from eva_engine.config import TRAIN_SETTINGS

LEARNED_ROPE = "vit_small_patch16_rope_mixed_224"
FAMILIES = {
    "DINOv3": "vit_small_patch16_dinov3.lvd1689m",
    "DINOv2 with registers": "vit_small_patch14_reg4_dinov2",
    "SigLIP 2": "vit_base_patch16_siglip_256.v2_webli",
    "MAE": "vit_base_patch16_224.mae",
    "CLIP": "vit_xsmall_patch16_clip_224",
    "PE core": "vit_pe_core_tiny_patch16_384",
    "PE spatial": "vit_pe_spatial_tiny_patch16_512",
    "EVA-02": "eva02_tiny_patch14_224",
    "BEiT": "beit_base_patch16_224",
    "DeiT 3": "deit3_small_patch16_224",
    "DeiT with two tokens": "deit_tiny_distilled_patch16_224",
    "rotary positions that are learned per block": LEARNED_ROPE,
}
DINOV3, DINOV2, EVA02 = FAMILIES["DINOv3"], FAMILIES["DINOv2 with registers"], FAMILIES["EVA-02"]


def random_backbone(name: str, img_size=(64, 96), **options) -> TimmBackbone:
    """A backbone of two blocks whose weights are all random, so that no error is hidden by a zero."""
    torch.manual_seed(0)
    backbone = TimmBackbone(name, img_size, **{"depth": 2, **options}).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return backbone


def timm_model(name: str, **options) -> torch.nn.Module:
    """timm's model of two blocks with patches of 16 pixels, and positions of the grid of pre-training."""
    native = timm.create_model(name, depth=2)
    if "beit" not in name:
        side = 16 * native.patch_embed.grid_size[0]
        options = {"img_size": side, "patch_size": 16, "dynamic_img_size": True, **options}
    return timm.create_model(name, depth=2, **options).eval()


@pytest.mark.parametrize("name", FAMILIES.values(), ids=FAMILIES.keys())
def test_features_are_those_of_timm(name):
    sizes = [(64, 96)] if "beit" in name else [(64, 96), (160, 48)]
    backbone = random_backbone(name)
    model = timm_model(name, **({"img_size": (64, 96)} if "beit" in name else {}))
    left_over = model.load_state_dict(backbone.vit.state_dict(), strict=False)
    assert not left_over.unexpected_keys
    assert all(key.startswith(("norm.", "fc_norm.", "head", "attn_pool.")) for key in left_over.missing_keys)
    for size in sizes:
        pixels = torch.randn(2, 3, *size)
        with torch.no_grad():
            (expected,) = model.forward_intermediates(pixels, indices=1, intermediates_only=True)
            prefix = None
            if model.num_prefix_tokens:
                ((_, prefix),) = model.forward_intermediates(
                    pixels, indices=1, intermediates_only=True, return_prefix_tokens=True
                )
            tokens, grid = backbone.embed(pixels)
            tokens = backbone.run_blocks(tokens, grid)
            found = backbone.forward_map(pixels)
        assert grid == (size[0] // 16, size[1] // 16)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert backbone.num_prefix_tokens == (0 if prefix is None else prefix.shape[1])
        if prefix is not None:
            torch.testing.assert_close(tokens[:, : prefix.shape[1]], prefix, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES.values(), ids=FAMILIES.keys())
def test_every_parameter_is_trained(name):
    backbone = random_backbone(name).train()
    backbone.forward_map(torch.randn(1, 3, 64, 96)).sum().backward()
    assert not [key for key, parameter in backbone.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("name", [DINOV3, DINOV2, FAMILIES["SigLIP 2"], EVA02, FAMILIES["BEiT"]])
@pytest.mark.parametrize("through", ["the engine", "timm"])
def test_weight_files_give_the_weights_that_timm_loads(name, through, tmp_path):
    """Kernels of 14 x 14 pixels and tables of relative positions are resampled, everything else is used as it is."""
    stored = timm.create_model(name, depth=2)
    with torch.no_grad():
        for parameter in stored.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    file = tmp_path / "model.safetensors"
    save_file(stored.state_dict(), file)
    overlay = {"file": str(file), "num_classes": stored.num_classes}
    options = {"img_size": (96, 96)} if "beit" in name else {}
    expected = timm_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options).state_dict()
    if through == "timm":
        backbone = TimmBackbone(name, 96, depth=2, pretrained=True, pretrained_cfg_overlay=overlay)
    else:
        backbone = TimmBackbone(name, 96, depth=2)
        report = load_checkpoint(backbone, file)
        assert not report.missing
        assert not report.skipped
        assert {change.name.rpartition(".")[2] for change in report.resized} <= {
            "weight" if "14" in name else "relative_position_bias_table"
        }
    for key, value in backbone.vit.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6, msg=key)


def test_a_patch_of_14_pixels_has_the_embedding_of_the_same_patch_with_16(tmp_path, caplog):
    model = timm.create_model(DINOV2, depth=2)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    with caplog.at_level(logging.INFO):
        backbone = TimmBackbone(DINOV2, 224, depth=2)
    assert "14 x 14 pixels: its patch kernel is resampled to 16 x 16" in caplog.text
    load_checkpoint(backbone, tmp_path / "model.safetensors")
    patch = torch.randn(1, 3, 14, 14)
    enlarged = F.interpolate(patch, (16, 16), mode="bicubic", antialias=True)
    found, expected = backbone.vit.patch_embed.proj(enlarged), model.patch_embed.proj(patch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_pretrained_weights_are_not_read_if_others_follow(tmp_path):
    options = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(tmp_path / "none.safetensors")}, "depth": 2}
    with torch.device("meta"):
        TimmBackbone(DINOV3, 64, **options)
    with deferred_init() as pending:
        backbone = TimmBackbone(DINOV3, 64, **options)
    pending.materialize(backbone)
    with pytest.raises(InputError, match=r"^the weights of vit_small\S+ cannot be downloaded .*give the file as train"):
        TimmBackbone(DINOV3, 64, **options)


def test_pretrained_without_weights_is_refused():
    with pytest.raises(InputError, match=r"^timm has no weights for vit_base_patch16_18x2_224; choose one of "):
        TimmBackbone("vit_base_patch16_18x2_224", 64, depth=1, pretrained=True)


@pytest.mark.parametrize("name", [DINOV3, DINOV2, FAMILIES["SigLIP 2"], EVA02, LEARNED_ROPE])
def test_windows_equal_attention_that_is_masked(name):
    """Patches of a windowed block see those of their window, and class and register tokens."""
    backbone = random_backbone(name, (96, 160), window_size=2, num_global_blocks=1)
    tokens, grid = backbone.embed(torch.randn(2, 3, 96, 160))
    rows, columns = torch.meshgrid(torch.arange(6), torch.arange(10), indexing="ij")
    window = (rows // 2 * 100 + columns // 2).flatten()
    prefix = backbone.num_prefix_tokens
    allowed = torch.ones(prefix + 60, prefix + 60, dtype=torch.bool)
    allowed[prefix:, prefix:] = window[:, None] == window
    block = backbone.vit.blocks[0]
    positions = backbone._positions(grid)
    arguments, last = ({} if positions is None else {"rope": positions[index]} for index in (0, 1))
    with torch.no_grad():
        expected = block(tokens, attn_mask=allowed, **arguments)
        found = backbone.run_blocks(tokens, grid, stop=1)
        torch.testing.assert_close(found[:, prefix:], expected[:, prefix:], rtol=0, atol=1e-4)
        if prefix:  # the mean over windows of what a window alone gives
            alone = []
            for number in window.unique():
                inside = torch.cat([torch.ones(prefix, dtype=torch.bool), window == number])
                rotation = {key: rope[..., inside[prefix:], :] for key, rope in arguments.items()}
                alone.append(block(tokens[:, inside], **rotation)[:, :prefix])
            torch.testing.assert_close(found[:, :prefix], torch.stack(alone).mean(0), rtol=0, atol=1e-4)
        # the last block is global
        expected = backbone.vit.blocks[1](found, **last)
        torch.testing.assert_close(backbone.run_blocks(tokens, grid), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("depth", "wanted", "expected"), [(12, 4, [2, 5, 8, 11]), (7, 2, [3, 6]), (2, 2, [0, 1])])
def test_global_blocks_are_spaced_evenly_and_include_the_last(depth, wanted, expected):
    with torch.device("meta"):
        backbone = TimmBackbone("vit_tiny_patch16_224", 64, depth=depth, window_size=2, num_global_blocks=wanted)
    assert [index for index in range(depth) if backbone._is_global(index)] == expected


@pytest.mark.parametrize("name", [EVA02, FAMILIES["BEiT"]])
def test_the_layer_qkv_is_called_so_that_it_can_be_adapted(name):
    backbone = random_backbone(name)
    calls = []
    for block in backbone.vit.blocks:
        block.attn.qkv.register_forward_hook(lambda *_: calls.append(1))
    backbone.forward_map(torch.randn(1, 3, 64, 96))
    assert len(calls) == 2


@pytest.mark.parametrize("name", FAMILIES.values(), ids=FAMILIES.keys())
def test_lora_adapts_all_linear_layers_of_the_blocks(name):
    with torch.device("meta"):
        backbone = TimmBackbone(name, 64, depth=1)
    layers = [key for key, module in backbone.named_modules() if isinstance(module, torch.nn.Linear)]
    assert len(layers) >= 4
    assert all(re.fullmatch(TRAIN_SETTINGS["lora"]["targets"], layer) for layer in layers), layers


def test_a_kernel_too_large_for_a_patch_is_not_resampled():
    with torch.device("meta"):
        vit = TimmBackbone("vit_tiny_patch16_224", 64, depth=1).vit
    name, shape = "patch_embed.proj.weight", tuple(vit.patch_embed.proj.weight.shape)
    assert resize_entry(name, torch.zeros(*shape[:2], 65, 65), shape, vit) is None
    assert resize_entry(name, torch.zeros(*shape[:2], 8, 8), shape, vit).shape == shape


def test_statistics_are_those_of_the_weights_in_the_order_and_range_of_the_images():
    clip = [0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255]
    assert pixel_mean("vit_base_patch16_clip_224.openai") == pytest.approx(clip)
    assert pixel_mean("vit_base_patch16_clip_224.openai", "BGR") == pytest.approx(clip[::-1])
    assert pixel_std(FAMILIES["SigLIP 2"]) == pytest.approx([127.5] * 3)
    assert pixel_std(DINOV3) == pytest.approx([58.395, 57.12, 57.375])
    # the same model, other weights
    assert pixel_mean("vit_base_patch16_224.mae") == pytest.approx([123.675, 116.28, 103.53])
    assert pixel_mean("vit_base_patch16_224.augreg_in21k") == pytest.approx([127.5] * 3)
    assert token_width("vit_base_patch16_224.mae") == 768


@pytest.mark.parametrize(
    ("name", "img_size", "options", "message"),
    [
        ("swin_tiny_patch4_window7_224", 224, {}, "is not a plain ViT (it is timm's SwinTransformer), "),
        ("convnext_tiny", 224, {}, "is not a plain ViT (it is timm's ConvNeXt), "),
        ("levit_128", 224, {}, "is not a plain ViT (it is timm's LevitDistilled), "),
        ("vit_small_r26_s32_224", 224, {}, "(it is timm's VisionTransformer with HybridEmbed), "),
        ("naflexvit_base_patch16_siglip", 224, {}, "choose a model such as vit_small_patch16_dinov3, "),
        ("vit_small_patch16_dinov4", 224, {}, "similar names are vit_small_patch16_dinov3, "),
        ("xyz", 224, {}, "timm has no model 'xyz'; timm.list_models() returns the names."),
        ("vit_small_patch16_dinov3.web", 224, {}, "timm has no weights 'web' of vit_small_patch16_dinov3; choose one "),
        ("vgg11", 224, {"drop_path_rate": 0.1}, "does not accept the arguments drop_path_rate ("),
        ("vit_tiny_patch16_224", 224, {"patch_drop_rate": 0.5}, "feature maps need all patches, which patch_drop_rate"),
        ("vit_tiny_patch16_224", 1000, {}, "cannot be divided into patches of 16 x 16; give multiples of 16, such as "),
        ("vit_tiny_patch16_224", 64, {"window_size": 3}, "does not divide the grid of 4 x 4 patches; give a common "),
        ("vit_tiny_patch16_224", 64, {"window_size": 2, "num_global_blocks": 13}, "is out of range; give 1 to 12."),
        ("beit_base_patch16_224", 64, {"window_size": 2}, "which windows do not; give window_size=0."),
    ],
)
def test_what_does_not_fit_is_one_sentence(name, img_size, options, message):
    with torch.device("meta"), pytest.raises(InputError) as error:
        TimmBackbone(name, img_size, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_images_that_do_not_fit_are_one_sentence():
    backbone = random_backbone(DINOV3, 64, window_size=2, num_global_blocks=1)
    with pytest.raises(InputError, match=r"^an image of 64 x 90 pixels cannot be divided into patches"):
        backbone.forward_map(torch.zeros(1, 3, 64, 90))
    with pytest.raises(InputError, match=r"^window_size=2 does not divide the grid of 4 x 5 patches"):
        backbone.forward_map(torch.zeros(1, 3, 64, 80))
    beit = random_backbone(FAMILIES["BEiT"], 64)
    with pytest.raises(InputError, match=r"^beit_base_patch16_224 is built for images of 64 x 64 pixels, this one has"):
        beit.forward_map(torch.zeros(1, 3, 64, 80))
