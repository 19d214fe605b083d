"""open_clip's EVA01-g-14 as an independent oracle, and weights exchanged with it in both directions."""

import open_clip
import pytest
import torch
from open_clip_models import build_open_clip, sharp_weights
from PIL import Image

from eva_backbone.errors import InputError
from eva_clip import build_model, create_model, create_model_and_transforms, get_tokenizer
from eva_clip.commands.export_open_clip import main as export
from eva_clip.open_clip_weights import NAME, from_open_clip, open_clip_call, to_open_clip

TRUNK = {"img_size": 56, "embed_dim": 64, "depth": 3, "num_heads": 4, "mlp_ratio": 4.0}
TEXT = {"context_length": 20, "vocab_size": 300, "width": 48, "num_layers": 3, "num_heads": 4}
WIDE_TRUNK = {"img_size": 224, "depth": 1}
WIDE_TEXT = {"vocab_size": 2000, "num_layers": 2}


def their_text(options):
    names = {"num_layers": "layers", "num_heads": "heads"}
    return {names.get(name, name): value for name, value in options.items()}


def pair(trunk=TRUNK, text=TEXT, output_dim=40):
    """Both models with the same weights, and ids of texts of every length."""
    ours = build_model("eva_clip_g14", output_dim=output_dim, visual=trunk, text=text).eval()
    weights = sharp_weights(ours)
    ours.load_state_dict(weights)
    theirs = build_open_clip(output_dim, their_text(text), **trunk).eval()
    theirs.load_state_dict(to_open_clip(weights), strict=True)
    length, vocab = text.get("context_length", 77), text["vocab_size"]
    token_ids = torch.randint(1, vocab - 1, (4, length), generator=torch.Generator().manual_seed(5))
    for row, end in enumerate((length - 1, length // 2, 3, 1)):
        token_ids[row, end], token_ids[row, end + 1 :] = vocab - 1, 0
    return ours, theirs, torch.randn(3, 3, trunk["img_size"], trunk["img_size"]), token_ids


@pytest.mark.parametrize(
    ("trunk", "text", "output_dim", "rows"),
    [(TRUNK, TEXT, 40, slice(None)), (TRUNK, TEXT, 40, slice(2, None)), (WIDE_TRUNK, WIDE_TEXT, 1024, slice(None))],
    ids=["tiny", "tiny, short texts only", "full width"],
)
@torch.inference_mode()
def test_same_embeddings_and_logits(trunk, text, output_dim, rows):
    ours, theirs, pixels, token_ids = pair(trunk, text, output_dim)
    token_ids = token_ids[rows]
    for found, expected in (
        (ours.encode_image(pixels), theirs.encode_image(pixels)),
        (ours.encode_text(token_ids), theirs.encode_text(token_ids)),
    ):
        assert expected.abs().max() > 0.5
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
    features = ours({"image": pixels, "text": token_ids})
    torch.testing.assert_close(ours.logit_scale, theirs.logit_scale)
    logits = ours.logit_scale.exp() * features["image_features"] @ features["text_features"].T
    torch.testing.assert_close(logits, theirs.get_logits(pixels, token_ids)[0], rtol=1e-5, atol=2e-5)


def test_same_gradients():
    ours, theirs, pixels, token_ids = pair()
    for model in (ours, theirs):
        (model.encode_image(pixels).square().sum() + model.encode_text(token_ids).square().sum()).backward()
    named = {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.grad is not None}
    expected = from_open_clip({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    assert named.keys() == expected.keys() == dict(ours.named_parameters()).keys() - {"text.logit_scale"}
    for name, gradient in named.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4 * expected[name].abs().max().item())


def test_full_size_names_and_shapes():
    with torch.device("meta"):
        ours, theirs = build_model("eva_clip_g14"), build_open_clip(1024, {})
    exported = {name: value.shape for name, value in to_open_clip(ours.state_dict()).items()}
    assert exported == {name: value.shape for name, value in theirs.state_dict().items()}
    assert list(from_open_clip(to_open_clip(ours.state_dict()))) == list(ours.state_dict())


def test_there_and_back(tmp_path):
    """A checkpoint of ours, exported, into open_clip, saved by it, and imported again: the same bits."""
    ours, theirs, _, token_ids = pair()
    source, exported, saved, back = (tmp_path / name for name in ("a.pth", "b.safetensors", "c.pt", "d.safetensors"))
    torch.save({"model": ours.state_dict(), "iteration": 3}, source)
    assert export([str(source), str(exported)]) == 0
    open_clip.load_checkpoint(theirs, str(exported), strict=True)
    torch.save({"state_dict": {f"module.{name}": value for name, value in theirs.state_dict().items()}}, saved)
    assert export([str(saved), str(back)]) == 0
    options = {"output_dim": 40, "visual": TRUNK, "text": TEXT}
    for path in (saved, back):
        again = create_model("eva_clip_g14", path, **options)
        for name, value in ours.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name
    assert torch.equal(again.encode_text(token_ids), ours.encode_text(token_ids))


def test_call_of_the_published_size():
    with torch.device("meta"):
        weights = to_open_clip(build_model("eva_clip_g14").state_dict())
        tiny = to_open_clip(build_model("eva_clip_tiny").state_dict())
    expected = "open_clip.create_model_and_transforms('EVA01-g-14', pretrained='eva.safetensors')"
    assert open_clip_call(weights, "eva.safetensors") == expected
    assert open_clip_call(tiny, "eva.safetensors") is None


@pytest.mark.parametrize(
    ("weights", "output", "message"),
    [
        ({"a": torch.zeros(2)}, "out.safetensors", "error: a does not belong to an EVA-CLIP model"),
        ({"visual.trunk.a": torch.zeros(2), "logit_bias": torch.zeros(1)}, "out.safetensors", "error: logit_bias does"),
        ({"visual.a": torch.zeros(2)}, "out.pt", "does not end in .safetensors"),
        ({"visual.a": torch.zeros(2)}, "none/out.safetensors", "does not exist"),
    ],
)
def test_unusable_input(tmp_path, capsys, weights, output, message):
    torch.save(weights, tmp_path / "weights.pt")
    assert export([str(tmp_path / "weights.pt"), str(tmp_path / output)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / output).exists()


def test_names_are_not_changed_twice():
    with pytest.raises(InputError, match="have open_clip's names already"):
        to_open_clip({"visual.trunk.a": torch.zeros(1)})


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
@pytest.mark.parametrize("size", [(60, 45), (31, 77), (28, 28), (17, 23)])
def test_pixels_are_those_of_open_clip(mode, size):
    noise = torch.randint(0, 256, (size[1], size[0], 3), dtype=torch.uint8).numpy()
    image = Image.fromarray(noise).convert(mode)
    ours = create_model_and_transforms("eva_clip_tiny", visual={"img_size": 28, "depth": 1})[2](image)
    assert torch.equal(ours, open_clip.image_transform(28, is_train=False)(image))


TEXTS = ["a photo of a cat", "", "日本語 😀🚀 <b>", "word " * 90, "ÉCOLE &amp;amp; cafÃ©", "x" * 700, "a" * 1023 + " b"]


def test_ids_are_those_of_open_clip():
    ids = get_tokenizer()(TEXTS)
    assert torch.equal(ids, open_clip.get_tokenizer(NAME)(TEXTS))
