"""timm's EVA as an independent oracle, and weights exchanged with it in both directions."""

import pytest
import timm
import torch
from safetensors.torch import load_file

from eva_backbone.errors import InputError
from eva_classification import create_classifier, create_masked_image_model
from eva_classification.commands.export_timm import main as export_timm
from eva_classification.timm_weights import timm_call, to_timm
from eva_engine.checkpoint import build_and_load
from eva_video.classifier import VideoClassifier

TINY = {"embed_dim": 64, "depth": 3, "num_heads": 4, "mlp_ratio": 4.0}


def sharp_weights(model):
    """Weights with which attention is far from uniform, and every entry matters."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for name, value in model.state_dict().items():
        base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        scale = value[0].numel() ** -0.5 * 1.5 if value.ndim > 1 and "embed" not in name else 0.2
        state[name] = base + scale * torch.randn(value.shape, generator=generator)
    return state


def both_logits(ours, theirs, size):
    weights = sharp_weights(ours)
    ours.load_state_dict(weights)
    theirs.load_state_dict(to_timm(weights), strict=True)
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        return ours.eval()(pixels), theirs.eval()(pixels)


@pytest.mark.parametrize("size", [224, 336, 560])
def test_giant_width_at_reduced_depth(size):
    ours = create_classifier("eva_giant_patch14", num_classes=10, img_size=size, depth=1)
    theirs = timm.create_model(f"eva_giant_patch14_{size}", num_classes=10, depth=1)
    found, expected = both_logits(ours, theirs, size)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("eva_giant_patch14_224", {}, {}),
        ("eva_giant_patch14_224", {"pooling": "class"}, {"global_pool": "token"}),
        ("eva_giant_patch14_224", {"layer_scale": 0.1}, {"init_values": 0.1}),
        ("eva_large_patch14_336", {}, {}),
    ],
)
@pytest.mark.parametrize("size", [56, 112])
def test_logits_at_tiny_width(name, ours, theirs, size):
    model = create_classifier(name.rpartition("_")[0], num_classes=10, img_size=size, **TINY, **ours)
    found, expected = both_logits(model, timm.create_model(name, num_classes=10, img_size=size, **TINY, **theirs), size)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def bytes_kept_for_backward(model, pixels):
    kept = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(pixels)
    assert logits.requires_grad
    return sum(size for address, size in kept.items() if address not in weights)


def test_training_keeps_no_more_activations_than_timm():
    pixels = torch.randn(2, 3, 112, 112)
    ours = create_classifier("eva_giant_patch14", num_classes=10, img_size=112, **TINY)
    theirs = timm.create_model("eva_giant_patch14_224", num_classes=10, img_size=112, **TINY)
    found, expected = (bytes_kept_for_backward(model.train(), pixels) for model in (ours, theirs))
    assert 0 < found <= expected


@pytest.mark.parametrize("size", [224, 336, 560])
@pytest.mark.parametrize("family", ["eva_giant_patch14", "eva_large_patch14"])
def test_full_size_names(family, size):
    """Names, shapes and their order are timm's."""
    with torch.device("meta"):
        ours = create_classifier(family, num_classes=1000, device="meta", img_size=size)
        name = f"{family}_{size}" if family == "eva_giant_patch14" else f"{family}_336"
        theirs = timm.create_model(name, img_size=size)
    entries = [[(name, value.shape) for name, value in model.state_dict().items()] for model in (ours, theirs)]
    assert entries[0] == entries[1]


@pytest.mark.parametrize("pooling", ["mean", "class"])
def test_round_trip_through_timm(tmp_path, pooling):
    """A file of ours, exported, into timm, saved by timm, and read by us again: the same bits."""
    options = {"img_size": 56, "pooling": pooling, **TINY}
    model = create_classifier("eva_giant_patch14", num_classes=7, **options)
    model.load_state_dict(sharp_weights(model))
    source, exported, saved = tmp_path / "run.pth", tmp_path / "timm.safetensors", tmp_path / "saved.pth"
    torch.save({"model": model.state_dict(), "iteration": 3}, source)
    assert export_timm([str(source), str(exported)]) == 0
    pool = {"mean": "avg", "class": "token"}[pooling]
    theirs = timm.create_model(
        "eva_giant_patch14_224", num_classes=7, img_size=56, global_pool=pool, checkpoint_path=str(exported), **TINY
    )
    torch.save(theirs.state_dict(), saved)
    back, report = build_and_load(lambda: create_classifier("eva_giant_patch14", num_classes=7, **options), saved)
    assert [report.missing, report.unused, report.resized, report.skipped] == [[], [], [], []]
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
        assert torch.equal(load_file(exported)[name], value), name


def test_linear_probe_becomes_one_layer():
    options = {"img_size": 56, "pooling": "class", **TINY}
    probe = create_classifier("eva_giant_patch14", num_classes=7, head="probe", **options)
    pixels = torch.randn(4, 3, 56, 56)
    with torch.no_grad():
        probe.head[0].running_mean.normal_()
        probe.head[0].running_var.copy_(torch.logspace(-5, 0, 64))
        probe.head[1].bias.normal_()
        plain = create_classifier("eva_giant_patch14", num_classes=7, **options)
        plain.load_state_dict(to_timm(probe.state_dict()))
        torch.testing.assert_close(plain.eval()(pixels), probe.eval()(pixels), rtol=1e-5, atol=1e-5)


def test_call_of_the_published_sizes():
    with torch.device("meta"):
        weights = create_classifier("eva_giant_patch14", num_classes=21841, device="meta", img_size=560).state_dict()
    assert timm_call(weights) == "timm.create_model('eva_giant_patch14_336', img_size=560, num_classes=21841)"
    assert timm_call(create_classifier("eva_tiny_patch14", num_classes=10, depth=1).state_dict()) is None


@pytest.mark.parametrize("size", ["tiny", "small", "base", "large"])
def test_round_trip_of_eva02_through_timm(tmp_path, size):
    """A classifier of ours, exported, loaded and saved by timm, and read by us again: the same bits and logits."""
    options = {"num_classes": 7, "img_size": 56, "depth": 2}
    model = create_classifier(f"eva02_{size}_patch14", **options)
    model.load_state_dict(sharp_weights(model))
    source, exported, saved = tmp_path / "run.pth", tmp_path / "timm.safetensors", tmp_path / "saved.pth"
    torch.save({"model": model.state_dict(), "iteration": 3}, source)
    assert export_timm([str(source), str(exported)]) == 0
    name = f"eva02_{size}_patch14_{336 if size in ('tiny', 'small') else 448}"
    theirs = timm.create_model(name, checkpoint_path=str(exported), **options).eval()
    torch.save(theirs.state_dict(), saved)
    back, report = build_and_load(lambda: create_classifier(f"eva02_{size}_patch14", **options), saved)
    assert [report.missing, report.unused, report.resized, report.skipped] == [[], [], [], []]
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    pixels = torch.randn(2, 3, 56, 56)
    with torch.inference_mode():
        expected = theirs(pixels)
        assert expected.std() > 0.1
        torch.testing.assert_close(back.eval()(pixels), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", ["tiny", "base"])
def test_features_of_a_pretrained_model(tmp_path, size):
    options = {"img_size": 56, "depth": 2}
    model = create_masked_image_model(f"eva02_{size}_patch14", teacher_dim=16, **options)
    model.load_state_dict(sharp_weights(model))
    source, exported = tmp_path / "run.pth", tmp_path / "timm.safetensors"
    torch.save(model.state_dict(), source)
    assert export_timm([str(source), str(exported)]) == 0
    theirs = timm.create_model(
        f"eva02_{size}_patch14_224", num_classes=0, checkpoint_path=str(exported), **options
    ).eval()
    pixels = torch.randn(2, 3, 56, 56)
    with torch.inference_mode():
        tokens = model.run_blocks(model.add_positions(*model.patch_embed(pixels)), (4, 4))
        torch.testing.assert_close(theirs(pixels), model.norm(tokens[:, 1:].mean(1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "call"),
    [
        ("tiny", "timm.create_model('eva02_tiny_patch14_336', img_size=336, num_classes=1000)"),
        ("large", "timm.create_model('eva02_large_patch14_448', img_size=336, num_classes=1000)"),
    ],
)
def test_calls_of_eva02(size, call):
    with torch.device("meta"):
        weights = create_classifier(f"eva02_{size}_patch14", device="meta", img_size=336).state_dict()
    assert timm_call(to_timm(weights)) == call


SMALL = {"img_size": 28, "depth": 1}


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: create_classifier("eva_tiny_patch14", num_classes=10, rel_pos="joint", **SMALL),
            "timm's EVA has no relative pos",
        ),
        (
            lambda: create_classifier("eva_tiny_patch14", num_classes=10, abs_pos=False, **SMALL),
            "have no pos_embed, only",
        ),
        (
            lambda: create_classifier("eva_tiny_patch14", num_classes=0, **SMALL),
            "have no head.weight, only",
        ),
        (
            lambda: VideoClassifier(10, num_frames=2, tubelet_size=1, patch_size=14, **{**TINY, **SMALL}),
            "the patch embedding is three-dimensional",
        ),
        (lambda: torch.nn.Linear(2, 2), "only entries such as weight"),
    ],
)
def test_what_timm_cannot_load_is_refused(build, sentence, tmp_path, capsys):
    torch.save(build().state_dict(), tmp_path / "weights.pt")
    assert export_timm([str(tmp_path / "weights.pt"), str(tmp_path / "out.safetensors")]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_no_weights_at_all():
    with pytest.raises(InputError, match=r"only entries such as \(none\)"):
        to_timm({})


def test_a_classifier_with_the_norms_of_a_clip_tower_is_another_model_of_timm():
    with torch.device("meta"):
        weights = create_classifier("eva02_large_patch14", attention_norm=True).state_dict()
    assert timm_call(to_timm(weights)) is None
