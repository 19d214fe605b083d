"""The adapter around plain ViTs of timm: any image size, timm's features, recomputation, and the packaged recipe."""

import pytest
import torch
from detectron2.config import instantiate

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.training.adaptation import adapt_model
from eva_engine.training.adaptation.activation_checkpointing import checkpoint_activations
from eva_engine.training.optimization import build_optimizer
from eva_semseg.adapter import FEATURE_NAMES
from eva_semseg.data.synthetic_batch import SegmentationSyntheticBatch
from eva_semseg.timm_adapter import TimmAdapterBackbone

RECIPE = "projects/SemSeg/configs/timm/mask2former_timm_vit.py"
DINOV3, DINOV2, BEIT = "vit_small_patch16_dinov3", "vit_small_patch14_reg4_dinov2", "beit_base_patch16_224"
EVA02, MIXED = "eva02_tiny_patch14_224", "vit_small_patch16_rope_mixed_224"


def build(name: str, img_size=64, **options) -> TimmAdapterBackbone:
    torch.manual_seed(0)
    return TimmAdapterBackbone(name=name, img_size=img_size, depth=4, prior_width=4, deform_heads=4, **options)


@pytest.mark.parametrize("name", [DINOV3, DINOV2, EVA02, MIXED])
@pytest.mark.parametrize("size", [(64, 96), (50, 33)])
def test_any_size_gives_maps_of_the_padded_image(name, size):
    model = build(name).eval()
    padded = [side + -side % 32 for side in size]
    with torch.no_grad():
        maps = model(torch.randn(1, 3, *size))
    for key, stride in zip(FEATURE_NAMES, (4, 8, 16, 32), strict=True):
        assert maps[key].shape == (1, model.embed_dim, padded[0] // stride, padded[1] // stride)
        assert maps[key].isfinite().all()


@pytest.mark.parametrize("name", [DINOV3, DINOV2, EVA02, MIXED, BEIT])
def test_fresh_injectors_leave_the_vit_as_it_is(name):
    """The tokens after each group are those of timm's model alone."""
    model = build(name, (64, 96)).eval()
    seen = []
    for block in model.vit.blocks:
        block.register_forward_hook(lambda *args: seen.append(args[-1]))
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        model(pixels)
        found = list(seen)
        seen.clear()
        model.vit.forward_intermediates(pixels)
    assert len(found) == len(seen) == 4
    for tokens, expected in zip(found, seen, strict=True):
        torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-5)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    maps = model(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)))
    sum(features.square().mean() for features in maps.values()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_recomputation_changes_no_gradient_and_includes_the_adapter():
    expected = gradients(build(DINOV3))
    assert all(value is not None for value in expected.values())
    model, calls = build(DINOV3), []
    checkpoint_activations(model, "torch")
    for part in (model.vit.blocks[0].attn, model.interactions[0].injector, model.interactions[0].extractor):
        part.register_forward_pre_hook(lambda *_: calls.append(1))
    found = gradients(model)
    assert len(calls) == 2 * 3
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_a_model_for_one_size_says_so():
    model = build(BEIT)
    assert model(torch.randn(1, 3, 64, 64))["res3"].shape == (1, 768, 8, 8)
    with pytest.raises(
        InputError, match=r"^beit_base_patch16_224 is built for images of 64 x 64 pixels, this one has 64"
    ):
        model(torch.randn(1, 3, 64, 70))


def small_recipe(*overrides: str):
    head = [
        "dim=32",
        "hidden=32",
        "num_heads=4",
        "num_queries=5",
        "encoder_layers=1",
        "decoder_layers=1",
        "num_classes=3",
    ]
    return load_config(
        RECIPE,
        [
            "model.backbone.name=vit_tiny_patch16_224",
            "dataloader.train.mapper.size=[64,64]",
            "model.inference.windows.stride=[64,64]",
            "model.criterion.num_points=64",
            "train.device=cpu",
            *(f"model.decode_head.{option}" for option in head),
            *overrides,
        ],
    )


def test_the_recipe_trains_adapter_and_head_with_frozen_or_adapted_vit():
    for overrides in ([], ["train.freeze=[backbone.vit.*]"], ["train.lora.rank=2"]):
        cfg = small_recipe(*overrides)
        batch = SegmentationSyntheticBatch(cfg)
        torch.manual_seed(0)
        model = instantiate(cfg.model)
        adapt_model(model, cfg.train)
        losses = model.train()(batch.make(1))
        sum(losses.values()).backward()
        assert batch.backbone_patterns == ["backbone.vit.*"]
        trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        of_vit = {name for name in trained if name.startswith("backbone.vit.")}
        assert "backbone.interactions.0.injector.gamma" in trained
        assert bool(of_vit) == ("freeze" not in str(overrides))
        assert not overrides or all("lora_" in name for name in of_vit)


def test_the_recipe_has_the_layers_of_timm_and_the_statistics_of_the_weights():
    cfg = small_recipe("model.backbone.name=vit_base_patch16_siglip_256.v2_webli", "model.backbone.deform_heads=12")
    with torch.device("meta"):
        model = instantiate(cfg.model)
    rates = {group["lr"] for group in build_optimizer(cfg, model).param_groups}
    assert sorted(rates) == pytest.approx([1e-4 * 0.9**power for power in range(13, -1, -1)])
    mapper = instantiate(cfg.dataloader.train.mapper)
    assert mapper.pixel_mean.tolist() == mapper.pixel_std.tolist() == [127.5] * 3
    assert tuple(cfg.model.inference.windows.size) == (64, 64)
    assert model.decode_head.pixel_decoder.lateral_conv.conv.in_channels == 768
