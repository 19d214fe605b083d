"""The classifier as a network of its own and as what the trainer calls; its head and losses."""

import pytest
import timm
import torch
import torch.nn.functional as F

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_classification import create_classifier
from eva_classification.losses import classification_loss

TINY = {"name": "eva_tiny_patch14", "num_classes": 5, "img_size": 28, "embed_dim": 32, "depth": 2, "num_heads": 2}


@pytest.mark.parametrize("pooling", ["mean", "class"])
@pytest.mark.parametrize("head", ["linear", "probe"])
def test_batches(pooling, head):
    model = create_classifier(**TINY, pooling=pooling, head=head, smoothing=0.1).train()
    images, labels = torch.randn(3, 3, 28, 28), torch.tensor([0, 4, 2])
    losses = model({"image": images, "label": labels})
    expected = F.cross_entropy(model(images), labels, label_smoothing=0.1)
    assert losses.keys() == {"loss_cls"}
    torch.testing.assert_close(losses["loss_cls"], expected)
    model.eval()
    logits = model({"image": images, "label": labels})
    assert logits.shape == (3, 5)
    assert torch.equal(logits, model(images))
    assert torch.equal(logits, model({"image": images}))


def test_mixed_targets_are_not_smoothed_again():
    logits, mixed = torch.randn(4, 5), torch.rand(4, 5).softmax(-1)
    expected = -(mixed * logits.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(classification_loss(logits, mixed, smoothing=0.3), expected)


def test_smoothing_formula():
    logits, labels = torch.randn(4, 5), torch.tensor([1, 0, 3, 3])
    log_p = logits.log_softmax(-1)
    expected = 0.7 * -log_p[range(4), labels].mean() + 0.3 * -log_p.mean(-1).mean()
    torch.testing.assert_close(classification_loss(logits, labels, smoothing=0.3), expected)


def test_losses_are_float32_under_autocast():
    model = create_classifier(**TINY).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model({"image": torch.randn(2, 3, 28, 28), "label": torch.tensor([1, 2])})["loss_cls"]
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            torch.tensor([0, 5]),
            r"labels range from 0 to 5, but the model has classes 0 to 4: set the model's num_classes",
        ),
        (torch.tensor([-1, 2]), r"labels range from -1 to 2"),
        (torch.rand(2, 7), r"shape \[2, 7\], expected \[images, 5\]: give the mixup"),
        (torch.rand(2), r"shape \[2\], expected"),
    ],
)
def test_labels_of_another_number_of_classes(labels, message):
    with pytest.raises(InputError, match=message):
        create_classifier(**TINY).train()({"image": torch.randn(2, 3, 28, 28), "label": labels})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "token"}, "pooling='token' is not known; choose one of mean, class"),
        ({"head": "mlp"}, "head='mlp' is not known; choose one of linear, probe"),
        ({"smoothing": -0.1}, "smoothing=-0.1 is out of range"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(InputError, match=message):
        create_classifier(**TINY, **options)


def test_unknown_model():
    with pytest.raises(InputError, match="unknown model 'eva_huge'; choose one of eva_giant_patch14"):
        create_classifier("eva_huge")


def test_probe_normalises_features_of_the_batch():
    model = create_classifier(**TINY, pooling="class", head="probe").train()
    images = torch.randn(6, 3, 28, 28)
    seen = []
    model.head[1].register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0]))
    model(images)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(32), rtol=0, atol=1e-4)
    assert [name for name, _ in model.head.named_parameters()] == ["1.weight", "1.bias"]


def test_class_token_takes_part_in_attention_only():
    """The mean leaves it out."""
    model = create_classifier(**TINY)
    images = torch.randn(2, 3, 28, 28)
    patches = model.forward_patch_features(images)
    assert patches.shape == (2, 4, 32)
    model.fc_norm = torch.nn.Identity()
    pooled = model.forward_head(model.forward_features(images), pre_logits=True)
    torch.testing.assert_close(pooled, model.forward_patch_features(images).mean(1))


def test_without_a_class_token_all_patches_are_averaged():
    """As in timm's model of the same options; the class token cannot be pooled."""
    model = create_classifier(**TINY, class_token=False, qkv_bias="full")
    theirs = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=28,
        patch_size=14,
        embed_dim=32,
        depth=2,
        num_heads=2,
        num_classes=5,
        mlp_ratio=4.0,
        class_token=False,
        global_pool="avg",
        fc_norm=True,
    ).eval()
    assert theirs.load_state_dict({**model.state_dict()}, strict=False).missing_keys == []
    images = torch.randn(2, 3, 28, 28)
    torch.testing.assert_close(model(images), theirs(images), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="pooling='class' needs a class token"):
        create_classifier(**TINY, class_token=False, pooling="class")


@pytest.mark.parametrize("post_norm", [False, True])
def test_initial_weights_of_a_deferred_model(post_norm):
    """Weights that no file supplies are those of plain construction."""
    options = {**TINY, "embed_dim": 256, "num_heads": 4, "depth": 3, "post_norm": post_norm}
    with deferred_init() as pending:
        deferred = create_classifier(**options)
    pending.materialize(deferred)
    plain = dict(create_classifier(**options).named_parameters())
    for name, found in deferred.named_parameters():
        expected = plain[name]
        spread = 6 * expected.std().item() / expected.numel() ** 0.5
        assert abs(found.std() - expected.std()).item() <= spread + 1e-8, name


@pytest.mark.parametrize("options", [{"dtype": torch.bfloat16}, {"device": "meta"}])
def test_pixels_follow_the_model(options):
    """In type and to its device, alone and in a batch."""
    model = create_classifier(**TINY).to(**options)
    pixels = torch.randn(2, 3, 28, 28)
    weight = model.patch_embed.proj.weight
    for found in (model(pixels), model({"image": pixels}), model.forward_patch_features(pixels)):
        assert (found.dtype, found.device) == (weight.dtype, weight.device)
