"""The complete UperNet: losses and gradients, scores of any size, recomputation, adaptation, files."""

import copy

import pytest
import torch
import torch.nn.functional as F
from segmenter_training import CLASSES, drawn_batch, losses_and_gradients, losses_of_training

from eva_backbone.errors import InputError
from eva_engine.checkpoint import build_and_load, load_checkpoint
from eva_engine.training.adaptation import adapt_model
from eva_engine.training.adaptation.activation_checkpointing import checkpoint_activations
from eva_engine.training.optimization import layer_decay_groups
from eva_semseg.batch_norm import SyncBatchNorm
from eva_semseg.losses import SetCriterion
from eva_semseg.models import create_segmentation_model
from eva_semseg.upernet import pixel_cross_entropy

TINY = "eva02_tiny_upernet"
SMALL = {"img_size": 64, "embed_dim": 32, "num_heads": 2}


def build(num_classes=CLASSES, **backbone):
    torch.manual_seed(0)
    return create_segmentation_model(
        TINY,
        num_classes=num_classes,
        backbone={**SMALL, **backbone},
        decode_head={"channels": 16},
        auxiliary_head={"channels": 8},
    )


def without_dropout(model):
    model.train()
    model.decode_head.dropout.eval()
    model.auxiliary_head.dropout.eval()
    return model


@pytest.mark.parametrize(("batch", "height", "width"), [(2, 64, 64), (1, 64, 96), (2, 50, 70)])
def test_every_parameter_learns(batch, height, width):
    losses, gradients = losses_and_gradients(build().train(), drawn_batch(batch, height, width))
    assert losses.keys() == {"loss_ce", "aux.loss_ce"}
    assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []


def test_losses_are_sums_over_labelled_pixels_divided_by_all():
    model, batch = without_dropout(build()), drawn_batch(2, 64, 96)
    losses = model(batch)
    features, labels = model.backbone(batch["image"]), batch["label"]
    for name, head, weight in (("loss_ce", "decode_head", 1.0), ("aux.loss_ce", "auxiliary_head", 0.4)):
        logits = F.interpolate(model.get_submodule(head)(features), size=(64, 96), mode="bilinear").double()
        chosen = logits.log_softmax(1).gather(1, labels.clamp(max=CLASSES - 1)[:, None])[:, 0]
        expected = -weight * chosen[labels != 255].sum() / labels.numel()
        assert losses[name].item() == pytest.approx(expected.item(), rel=1e-6)
    half, logits = labels.clone(), torch.zeros(2, CLASSES, 16, 24)
    half[:, 32:] = 255
    assert pixel_cross_entropy(logits, half, stride=4) < pixel_cross_entropy(logits, labels, stride=4)


def test_padding_is_not_in_the_loss():
    logits = torch.randn(2, CLASSES, 16, 20)
    labels = drawn_batch(2, 50, 70)["label"]
    pixels = F.interpolate(logits, size=(64, 80), mode="bilinear")[..., :50, :70]
    expected = F.cross_entropy(pixels, labels, ignore_index=255, reduction="sum") / labels.numel()
    torch.testing.assert_close(pixel_cross_entropy(logits, labels, stride=4), expected)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 130), (160, 40), (48, 80), (5, 7)])
def test_scores_of_any_size(height, width):
    model = build().eval()
    pixels = drawn_batch(2, height, width)["image"]
    padded = F.pad(pixels, (0, max(width + -width % 16, 32) - width, 0, max(height + -height % 16, 32) - height))
    with torch.no_grad():
        scores = model(pixels)
        assert scores.shape == (2, CLASSES, height, width)
        torch.testing.assert_close(model({"image": pixels}), scores)
        torch.testing.assert_close(torch.cat([model(image[None]) for image in pixels]), scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(model(padded)[..., :height, :width], scores)


def test_maps_are_features_of_the_blocks():
    model, pixels = build().eval(), drawn_batch(2, 64, 96)["image"]
    with torch.no_grad():
        features = model.forward_intermediates(pixels, [0, 1, 2, 3], intermediates_only=True)
        maps = model.backbone(pixels)
        assert [tuple(found.shape[1:]) for found in maps.values()] == [
            (32, 16, 24),
            (32, 8, 12),
            (32, 4, 6),
            (32, 2, 3),
        ]
        torch.testing.assert_close(maps["res4"], features[2], rtol=0, atol=0)
        pooled = features[3].unflatten(2, (2, 2)).unflatten(4, (3, 2)).amax((3, 5))
        torch.testing.assert_close(maps["res5"], pooled, rtol=0, atol=0)


def test_an_odd_number_of_patches_is_not_padded():
    """As in the release, whose last map leaves out the last row and column of patches."""
    model, pixels = build().eval(), drawn_batch(1, 48, 80)["image"]
    with torch.no_grad():
        maps = model.backbone(pixels)
        assert [tuple(found.shape[2:]) for found in maps.values()] == [(12, 20), (6, 10), (3, 5), (1, 2)]
        scores = model.decode_head(maps)
        expected = F.interpolate(scores, size=(48, 80), mode="bilinear")
        torch.testing.assert_close(model(pixels), expected)
        torch.testing.assert_close(model._window_scores(pixels), scores)


@pytest.mark.parametrize("batch", [1, 2])
def test_recomputation_gives_the_same(batch):
    plain = build(drop_path_rate=0.2).train()
    recomputed = copy.deepcopy(plain)
    checkpoint_activations(recomputed, "torch")
    given = drawn_batch(batch, 64, 64)
    expected, found = losses_and_gradients(plain, given), losses_and_gradients(recomputed, given)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(dict(recomputed.named_buffers()), dict(plain.named_buffers()))


def test_a_few_steps_of_training():
    seen = losses_of_training(build().train(), lr=1e-2, num_steps=12)
    assert sum(seen[-3:]) < 0.9 * sum(seen[:3])


def test_one_value_per_channel_is_normalised_with_the_running_statistics():
    """One image pooled to one pixel has no variance."""
    norm = SyncBatchNorm(3).train()
    torch.nn.init.normal_(norm.running_mean)
    pixel = torch.randn(1, 3, 1, 1)
    before = copy.deepcopy(norm.state_dict())
    torch.testing.assert_close(norm(pixel), copy.deepcopy(norm).eval()(pixel), rtol=0, atol=0)
    torch.testing.assert_close(norm.state_dict(), before, rtol=0, atol=0)
    norm(torch.randn(2, 3, 1, 1))
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision(dtype):
    model, pixels = build().eval(), drawn_batch(1, 64, 64)["image"]
    with torch.no_grad():
        expected = model(pixels)
        scores = model.to(dtype)(pixels)
    assert scores.dtype == torch.float32
    assert (scores - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_bfloat16_autocast():
    model = build().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(drawn_batch(2, 64, 64))
    assert {value.dtype for value in losses.values()} == {torch.float32}
    sum(losses.values()).backward()


def test_low_rank_and_frozen_backbone():
    settings = {"freeze": [], "activation_checkpointing": "", "lora": {"rank": 0}}
    lora = {"rank": 2, "alpha": 4, "dropout": 0.0, "targets": r".*\.attn\.[qkv]_proj"}
    low_rank, frozen = build(), build()
    adapt_model(low_rank, {**settings, "lora": lora})
    adapt_model(frozen, {**settings, "freeze": ["backbone.blocks.*", "backbone.patch_embed.*", "backbone.*_*"]})
    for model in (low_rank, frozen):
        _, gradients = losses_and_gradients(model.train(), drawn_batch(2, 64, 64))
        learned = {name for name, gradient in gradients.items() if gradient is not None}
        assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == learned
        assert {name.partition(".")[0] for name in learned} == {"backbone", "decode_head", "auxiliary_head"}
    assert not [name for name in learned if "blocks" in name]


def test_layers_without_the_published_rule():
    """Timm's interface: class token and position table are in the first layer and have no weight decay."""
    model = build()
    assert model.num_features == 32
    groups = layer_decay_groups(model, base_lr=1.0, weight_decay=0.05, decay_rate=0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in groups:
        found |= {names[id(parameter)]: (group["lr"], group["weight_decay"]) for parameter in group["params"]}
    assert found.keys() == set(names.values())
    assert found["backbone.cls_token"] == found["backbone.pos_embed"] == (0.5**5, 0.0)
    assert found["backbone.blocks.3.mlp.w1.weight"] == (0.5, 0.05)
    assert found["backbone.fpn1.0.weight"] == found["decode_head.conv_seg.weight"] == (1.0, 0.05)
    assert found["backbone.fpn1.1.weight"] == (1.0, 0.0)


def test_other_numbers_of_classes():
    model = build().eval()
    model.reset_classifier(3)
    assert model.num_classes == 3
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    losses = model.train()({"image": torch.randn(2, 3, 32, 32), "label": torch.zeros(2, 32, 32).long() + 2})
    assert losses["aux.loss_ce"].isfinite()
    with pytest.raises(InputError, match="the model has classes 0 to 2"):
        model({"image": torch.randn(2, 3, 32, 32), "label": torch.zeros(2, 32, 32).long() + 3})


def test_a_file_of_the_release(tmp_path):
    """With rotary tables, and for a larger grid."""
    model = build(img_size=96).eval()
    tables = {
        f"backbone.{part}rope.freqs_{kind}": torch.zeros(36, 16)
        for part in ("", "blocks.0.attn.")
        for kind in ("cos", "sin")
    }
    torch.save({"state_dict": {**model.state_dict(), **tables}, "meta": {}}, tmp_path / "published.pth")
    for size, resized in ((96, []), (64, ["backbone.pos_embed"])):
        other = build(img_size=size).eval()
        for parameter in other.parameters():
            torch.nn.init.ones_(parameter)
        report = load_checkpoint(other, tmp_path / "published.pth")
        assert [report.missing, report.unused, report.skipped] == [[], [], []]
        assert [change.name for change in report.resized] == resized
        assert report.notes == ["4 tables of rotary positions ignored, which are computed from the size of the image"]
    # The size of the image determines the positions, not that of the table.
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(other(pixels), model(pixels), rtol=0, atol=1e-5)

    report = load_checkpoint(build(num_classes=3), tmp_path / "published.pth")
    assert [change.name for change in report.skipped] == [
        f"{head}.conv_seg.{kind}" for head in ("decode_head", "auxiliary_head") for kind in ("weight", "bias")
    ]


def mask2former(**backbone):
    options = {**SMALL, "deform_heads": 2, **backbone}
    head = {"dim": 32, "hidden": 48, "num_queries": 8}
    return create_segmentation_model("eva_tiny_mask2former", num_classes=CLASSES, backbone=options, decode_head=head)


def test_weights_with_the_other_head_do_not_predict(tmp_path):
    """Even where the ViT is the same; with another ViT, the sentence names both."""
    vit = {"qkv_layers": "separate", "mlp": "swiglu", "mlp_norm": True, "mlp_ratio": 8 / 3, "rope": True}
    models = {"upernet": build, "mask2former": lambda: mask2former(**vit)}
    for name, make in models.items():
        torch.save({"model": make().state_dict()}, tmp_path / f"{name}.pth")
    with pytest.raises(
        InputError, match=r"has no values for \d+ parameters of the model \(backbone\.fpn1\.0\.weight, "
    ):
        build_and_load(models["upernet"], tmp_path / "mask2former.pth", complete=True)
    # The adapter has more entries than the ViT inside of it.
    names = r"it holds names such as backbone\.fpn1\.0\.weight, expected is such as backbone\.level_embed, and only "
    with pytest.raises(InputError, match=names):
        build_and_load(models["mask2former"], tmp_path / "upernet.pth", complete=True)
    with pytest.raises(InputError, match=r"belongs to another model: it holds a ViT of width 32.*; give the weights"):
        build_and_load(lambda: build(embed_dim=64), tmp_path / "mask2former.pth", complete=True)


def test_blocks_after_the_last_map_are_not_run():
    deeper, model = build(depth=5).eval(), build().eval()
    model.load_state_dict({name: value for name, value in deeper.state_dict().items() if ".blocks.4." not in name})
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(deeper(pixels), model(pixels), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"out_indices": [0, 1, 2]},
            r"out_indices=\[0, 1, 2\] do not fit 4 blocks; give 4 of 0 to 3 in ascending order",
        ),
        ({"out_indices": [0, 2, 1, 3]}, "do not fit 4 blocks"),
        ({"out_indices": [-1, 1, 2, 3]}, "do not fit 4 blocks"),
        ({"depth": 3}, "do not fit 3 blocks"),
        ({"patch_size": 14}, "patch_size=14 does not fit the pyramid"),
    ],
)
def test_unusable_backbones(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


def test_options_of_the_other_head():
    with pytest.raises(InputError, match="criterion is for Mask2Former's losses"):
        create_segmentation_model(TINY, num_classes=2, criterion=SetCriterion())
    with pytest.raises(InputError, match="auxiliary_head is for UperNet"):
        create_segmentation_model("eva_tiny_mask2former", num_classes=2, auxiliary_head={})
