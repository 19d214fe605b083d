"""open_clip's EVA models as an independent oracle, and weights exchanged with them in both directions."""

import open_clip
import pytest
import torch
from open_clip_models import build_open_clip, sharp_weights
from PIL import Image

from eva_backbone.errors import InputError
from eva_clip import build_model, create_clip_model, create_clip_model_and_transforms, get_tokenizer
from eva_clip.commands.export_open_clip import main as export
from eva_clip.models import model_options
from eva_clip.open_clip_weights import from_open_clip, is_open_clip, open_clip_call, to_open_clip

TRUNK = {"img_size": 56, "embed_dim": 64, "depth": 3, "num_heads": 4, "mlp_ratio": 4.0}
TEXT = {"context_length": 20, "vocab_size": 300, "width": 48, "num_layers": 3, "num_heads": 4}
WIDE_TRUNK = {"img_size": 224, "depth": 1}
WIDE_TEXT = {"vocab_size": 2000, "num_layers": 2}
MODELS = {
    "eva_clip_g14": "EVA01-g-14",
    "eva_clip_g14_plus": "EVA01-g-14-plus",
    "eva02_clip_b16": "EVA02-B-16",
    "eva02_clip_l14": "EVA02-L-14",
    "eva02_clip_l14_336": "EVA02-L-14-336",
    "eva02_clip_e14": "EVA02-E-14",
    "eva02_clip_e14_plus": "EVA02-E-14-plus",
}


def their_text(options):
    names = {"num_layers": "layers", "num_heads": "heads"}
    return {names.get(name, name): value for name, value in options.items()}


def pair(trunk=TRUNK, text=TEXT, output_dim=40, name="eva_clip_g14"):
    """Both models with the same weights, and ids of texts of every length."""
    ours = build_model(name, output_dim=output_dim, visual=trunk, text=text).eval()
    weights = sharp_weights(ours)
    ours.load_state_dict(weights)
    theirs = build_open_clip(output_dim, their_text(text), MODELS[name], **trunk).eval()
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


@pytest.mark.parametrize("name", list(MODELS)[1:])
@torch.inference_mode()
def test_released_models_at_full_width(name):
    """The embeddings of open_clip's own model of that name, with one block per tower, and weights there and back."""
    options = model_options(name)
    trunk = {"depth": 1, "img_size": options["visual"]["img_size"]}
    text = {"vocab_size": 500, "num_layers": 1}
    theirs_text = {option: options["text"][option] for option in ("width", "num_heads")}
    ours, theirs, pixels, token_ids = pair(trunk, {**theirs_text, **text}, options["output_dim"], name)
    for found, expected in (
        (ours.encode_image(pixels[:2]), theirs.encode_image(pixels[:2])),
        (ours.encode_text(token_ids), theirs.encode_text(token_ids)),
    ):
        assert expected.abs().max() > 0.5
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(ours.logit_scale, theirs.logit_scale)
    back = from_open_clip(theirs.state_dict())
    assert back.keys() == ours.state_dict().keys()
    assert all(torch.equal(back[entry], value) for entry, value in ours.state_dict().items())


def test_same_gradients():
    ours, theirs, pixels, token_ids = pair()
    for model in (ours, theirs):
        (model.encode_image(pixels).square().sum() + model.encode_text(token_ids).square().sum()).backward()
    named = {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.grad is not None}
    expected = from_open_clip({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    assert named.keys() == expected.keys() == dict(ours.named_parameters()).keys() - {"text.logit_scale"}
    for name, gradient in named.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4 * expected[name].abs().max().item())


@pytest.mark.parametrize(("name", "their_name"), MODELS.items())
def test_full_size_names_and_shapes(name, their_name):
    with torch.device("meta"):
        ours, theirs = build_model(name), build_open_clip(model_options(name)["output_dim"], {}, their_name)
    weights = to_open_clip(ours.state_dict())
    exported = {entry: value.shape for entry, value in weights.items()}
    assert exported == {entry: value.shape for entry, value in theirs.state_dict().items()}
    assert list(from_open_clip(weights)) == list(ours.state_dict())
    expected = f"open_clip.create_model_and_transforms({their_name!r}, pretrained='eva.safetensors')"
    assert open_clip_call(weights, "eva.safetensors") == expected


@pytest.mark.parametrize("name", ["eva_clip_g14", "eva02_clip_b16"])
def test_there_and_back(name, tmp_path):
    """A checkpoint of ours, exported, into open_clip, saved by it, and imported again: the same bits."""
    visual = TRUNK if name == "eva_clip_g14" else {**TRUNK, "patch_size": 14, "mlp_ratio": 8 / 3}
    ours, theirs, _, token_ids = pair(visual, name=name)
    source, exported, saved, back = (tmp_path / file for file in ("a.pth", "b.safetensors", "c.pt", "d.safetensors"))
    torch.save({"model": ours.state_dict(), "iteration": 3}, source)
    assert export([str(source), str(exported)]) == 0
    open_clip.load_checkpoint(theirs, str(exported), strict=True)
    torch.save({"state_dict": {f"module.{entry}": value for entry, value in theirs.state_dict().items()}}, saved)
    assert export([str(saved), str(back)]) == 0
    options = {"output_dim": 40, "visual": visual, "text": TEXT}
    for path in (saved, back):
        again = create_clip_model(name, path, **options)
        for entry, value in ours.state_dict().items():
            assert torch.equal(again.state_dict()[entry], value), entry
    assert torch.equal(again.encode_text(token_ids), ours.encode_text(token_ids))


def test_no_call_of_another_size():
    with torch.device("meta"):
        tiny = to_open_clip(build_model("eva_clip_tiny").state_dict())
        deeper = to_open_clip(build_model("eva02_clip_b16", visual={"depth": 13}).state_dict())
    assert is_open_clip(tiny)
    assert open_clip_call(tiny, "eva.safetensors") is None
    assert open_clip_call(deeper, "eva.safetensors") is None


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
    ours = create_clip_model_and_transforms("eva_clip_tiny", visual={"img_size": 28, "depth": 1})[2](image)
    assert torch.equal(ours, open_clip.image_transform(28, is_train=False)(image))


TEXTS = ["a photo of a cat", "", "日本語 😀🚀 <b>", "word " * 90, "ÉCOLE &amp;amp; cafÃ©", "x" * 700, "a" * 1023 + " b"]


@pytest.mark.parametrize("name", ["EVA01-g-14", "EVA02-L-14"])
def test_ids_are_those_of_open_clip(name):
    ids = get_tokenizer()(TEXTS)
    assert torch.equal(ids, open_clip.get_tokenizer(name)(TEXTS))
