"""The complete model: losses and gradients, scores of any size, recomputation, files with either naming."""

import copy

import pytest
import torch
import torch.nn.functional as F
from segmenter_training import CLASSES, drawn_batch, losses_and_gradients, losses_of_training

from eva_backbone.errors import InputError
from eva_engine.checkpoint import load_checkpoint
from eva_engine.training.adaptation.activation_checkpointing import checkpoint_activations
from eva_engine.training.adaptation.lora import add_lora
from eva_semseg.losses import SetCriterion
from eva_semseg.models import MODELS, create_segmentation_model
from eva_semseg.state_dict_adapter import to_published
from eva_semseg.transformer_decoder import cross_attention_mask

TINY = "eva_tiny_mask2former"


def build(**backbone):
    torch.manual_seed(0)
    options = {"embed_dim": 32, "num_heads": 2, "img_size": 64, **backbone}
    head = {"dim": 32, "hidden": 48, "num_queries": 8}
    model = create_segmentation_model(
        TINY, num_classes=CLASSES, backbone=options, decode_head=head, criterion=SetCriterion(num_points=64)
    )
    for name, parameter in model.named_parameters():
        if name.endswith("injector.gamma"):
            torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize(("batch", "height", "width"), [(2, 64, 64), (1, 64, 96), (2, 50, 70)])
def test_every_parameter_learns(batch, height, width):
    model = build().train()
    losses, gradients = losses_and_gradients(model, drawn_batch(batch, height, width))
    assert len(losses) == 3 * (len(model.decode_head.transformer_decoder.layers) + 1)
    assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []


def test_a_batch_without_labels_still_reaches_every_parameter():
    batch = drawn_batch(1, 64, 64)
    batch["label"].fill_(255)
    _, gradients = losses_and_gradients(build().train(), batch)
    assert [name for name, gradient in gradients.items() if gradient is None] == []


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 130), (160, 40)])
def test_scores_of_any_size(height, width):
    model = build().eval()
    pixels = drawn_batch(2, height, width)["image"]
    with torch.no_grad():
        scores = model(pixels)
        assert scores.shape == (2, CLASSES, height, width)
        assert scores.min() >= 0
        torch.testing.assert_close(model({"image": pixels}), scores)
        torch.testing.assert_close(torch.cat([model(image[None]) for image in pixels]), scores, rtol=0, atol=1e-5)


def test_other_sizes_are_padded_at_the_bottom_and_right():
    model, batch = build(), drawn_batch(2, 50, 70)
    padding = (0, 96 - 70, 0, 64 - 50)
    padded = {"image": F.pad(batch["image"], padding), "label": F.pad(batch["label"], padding, value=255)}
    expected, found = (losses_and_gradients(model.train(), given)[0] for given in (padded, batch))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(batch["image"]), model(padded["image"])[..., :50, :70])


@pytest.mark.parametrize("batch", [1, 2])
def test_recomputation_gives_the_same(batch):
    plain = build(drop_path_rate=0.2).train()
    recomputed = copy.deepcopy(plain)
    checkpoint_activations(recomputed, "torch")
    given = drawn_batch(batch, 64, 64)
    expected, found = losses_and_gradients(plain, given), losses_and_gradients(recomputed, given)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_a_few_steps_of_training():
    seen = losses_of_training(build().train(), lr=2e-3, num_steps=8)
    assert sum(seen[-3:]) < 0.9 * sum(seen[:3])


def test_bfloat16():
    model = build().train()
    batch = drawn_batch(2, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    sum(losses.values()).backward()
    model.eval()
    with torch.no_grad():
        expected = model(batch["image"])
        with torch.autocast("cpu", torch.bfloat16):
            scores = model(batch["image"])
    assert scores.dtype == torch.float32
    assert (scores - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_of_reduced_precision(dtype):
    """Pixels are converted to the type of the parameters, and so are all intermediate results."""
    model, pixels = build().eval(), drawn_batch(1, 64, 64)["image"]
    with torch.no_grad():
        expected = model(pixels)
        scores = model.to(dtype)(pixels)
    assert scores.dtype == torch.float32
    assert (scores - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("rel_pos", [None, "joint"])
def test_files_with_published_and_own_names(tmp_path, rel_pos):
    model = build(rel_pos=rel_pos).eval()
    torch.save({"state_dict": to_published(model.state_dict())}, tmp_path / "published.pth")
    torch.save({"model": model.state_dict()}, tmp_path / "own.pth")
    pixels = drawn_batch(1, 64, 64)["image"]
    for file in ("published.pth", "own.pth"):
        other = build(rel_pos=rel_pos).eval()
        for parameter in other.parameters():
            torch.nn.init.ones_(parameter)
        report = load_checkpoint(other, tmp_path / file)
        assert [report.missing, report.unused, report.skipped, report.resized] == [[], [], [], []]
        with torch.no_grad():
            torch.testing.assert_close(other(pixels), model(pixels), rtol=0, atol=0)


def test_factory_loads_a_file(tmp_path):
    options = {"num_classes": CLASSES, "backbone": {"img_size": 64}}
    torch.manual_seed(0)
    model = create_segmentation_model(TINY, **options)
    assert not model.training
    torch.save({"state_dict": to_published(model.state_dict())}, tmp_path / "published.pth")
    loaded = create_segmentation_model(TINY, tmp_path / "published.pth", **options, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name].to(value.dtype), rtol=0, atol=0, msg=name)

    options["num_classes"] = CLASSES + 1
    with pytest.raises(InputError, match="cls_embed"):
        create_segmentation_model(TINY, tmp_path / "published.pth", **options)
    other = create_segmentation_model(TINY, tmp_path / "published.pth", **options, strict=False)
    assert other.decode_head.query_feat.weight.equal(model.decode_head.query_feat.weight)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.full((1, 64, 64), 5), "the label maps contain the value 5, the model has classes 0 to 4"),
        (torch.zeros(1, 32, 64, dtype=torch.int64), r"have shape \[1, 32, 64\], the images \[1, 3, 64, 64\]"),
        (torch.zeros(1, 1, 64, 64, dtype=torch.int64), r"have shape \[1, 1, 64, 64\]"),
    ],
)
def test_unusable_labels(labels, message):
    with pytest.raises(InputError, match=message):
        build().train()({"image": torch.zeros(1, 3, 64, 64), "label": labels})


@pytest.mark.parametrize("sizes", [{"dim": 48, "num_groups": 32}, {"dim": 6, "num_groups": 2}])
def test_unusable_widths_of_the_decoder(sizes):
    with pytest.raises(InputError, match=r"must be a multiple of 4 and of num_groups=\d+; change one"):
        create_segmentation_model("eva_tiny_mask2former", num_classes=5, decode_head={**sizes, "num_heads": 2})


def test_unknown_name():
    with pytest.raises(InputError, match=", ".join(MODELS)):
        create_segmentation_model("eva_small", num_classes=3)


def test_a_query_with_an_empty_mask_attends_everywhere():
    logits = torch.tensor([[[-1.0, 2.0], [-3.0, -1.0]], [[-1.0, -2.0], [-3.0, -1.0]], [[0.0, -1.0], [-1.0, -1.0]]])
    allowed = cross_attention_mask(logits[None], (2, 2))[0]
    assert allowed.tolist() == [[False, True, False, False], [True] * 4, [True, False, False, False]]
    coarse = cross_attention_mask(logits[None], (1, 1))[0]
    assert coarse.all()


def test_low_rank_layers_in_the_decoder():
    model = build().eval()
    pixels = drawn_batch(1, 64, 64)["image"]
    with torch.no_grad():
        expected = model(pixels)
        settings = {"rank": 2, "alpha": 4, "dropout": 0.0, "targets": r".*_attn\.qkv"}
        add_lora(model, settings)
        torch.testing.assert_close(model(pixels), expected)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        assert (model(pixels) - expected).abs().max() > 1e-3
