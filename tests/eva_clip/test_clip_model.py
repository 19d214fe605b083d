"""The model as users and the trainer call it: features, loss, precisions, weight files."""

import logging
import math

import pytest
import torch
import torch.nn.functional as F
from open_clip_models import sharp_weights
from PIL import Image

from eva_backbone.errors import InputError
from eva_clip import Clip, ImageTower, TextTransformer, build_model, create_clip_model, create_clip_model_and_transforms
from eva_engine.memory.fake_model import make_fake

TINY = {
    "output_dim": 24,
    "visual": {"img_size": 28, "embed_dim": 32, "depth": 2, "num_heads": 2},
    "text": {"vocab_size": 60, "context_length": 12, "width": 32},
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def tiny(**text):
    model = build_model("eva_clip_tiny", **{**TINY, "text": {**TINY["text"], **text}})
    model.load_state_dict(sharp_weights(model))
    return model.eval()


def pixels(count=3, size=28):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def token_ids():
    ids = torch.randint(1, 58, (3, 12), generator=torch.Generator().manual_seed(2))
    for row, end in enumerate((6, 3, 1)):
        ids[row, 0], ids[row, end], ids[row, end + 1 :] = 58, 59, 0
    return ids


def test_features():
    model = tiny()
    batch = {"image": pixels(), "text": token_ids()}
    features = model(batch)
    assert features.keys() == {"image_features", "text_features"}
    assert torch.equal(features["image_features"], F.normalize(model.encode_image(batch["image"])))
    assert torch.equal(features["text_features"], model.encode_text(batch["text"], normalize=True))
    assert not torch.allclose(model.encode_text(batch["text"]).norm(dim=1), torch.ones(3))
    assert model({"image": batch["image"]}).keys() == {"image_features"}
    assert model({"text": batch["text"], "image": None}).keys() == {"text_features"}
    assert model.logit_scale is model.text.logit_scale


@pytest.mark.parametrize(("limit", "scale"), [(None, math.exp(6)), (100.0, 100.0)])
def test_loss(limit, scale):
    model = tiny()
    model.max_logit_scale = limit
    model.text.logit_scale.data.fill_(6)
    batch = {"image": pixels(), "text": token_ids()}
    features = model(batch)
    losses = model.train()(batch)
    logits = scale * features["image_features"] @ features["text_features"].T
    expected = (F.cross_entropy(logits, torch.arange(3)) + F.cross_entropy(logits.T, torch.arange(3))) / 2
    assert losses.keys() == {"loss_contrastive"}
    torch.testing.assert_close(losses["loss_contrastive"], expected)
    losses["loss_contrastive"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("batch", "training", "message"),
    [
        ({"image": torch.zeros(1, 3, 28, 28)}, True, '"image" and "text" are needed'),
        ({"label": torch.zeros(1)}, False, 'a batch has the entries label; "image" or "text" are needed'),
        ({"text": torch.ones(2, 13, dtype=torch.int64)}, False, r"shape \[2, 13\], expected is \[texts, 1 to 12\]"),
        ({"text": torch.ones(5, dtype=torch.int64)}, False, r"shape \[5\], expected"),
    ],
)
def test_unusable_batches(batch, training, message):
    with pytest.raises(InputError, match=message):
        tiny().train(training)(batch)


def test_towers_of_different_spaces():
    with pytest.raises(InputError, match="embedded in 8 dimensions, texts in 4"):
        Clip(ImageTower(8, embed_dim=8, depth=1, num_heads=1), TextTransformer(4, width=8, num_heads=1, num_layers=1))


def test_an_image_tower_needs_its_class_token():
    with pytest.raises(InputError, match="embeds its class token; leave class_token=False out"):
        ImageTower(8, embed_dim=8, depth=1, num_heads=1, class_token=False)


def test_padding_does_not_matter():
    """Features do not depend on padding, nor on tokens after the end token."""
    model, ids = tiny(), token_ids()
    other = ids.clone()
    other[:, 7:] = 5
    grown = torch.cat([ids[2:], ids[2:, :1]], dim=1)[:, :9]  # a lone short text, in a shorter context
    expected = model.encode_text(ids)
    torch.testing.assert_close(model.encode_text(other), expected)
    torch.testing.assert_close(model.encode_text(grown), expected[2:])
    seen = []
    model.text.transformer.resblocks[0].register_forward_hook(lambda _module, _inputs, out: seen.append(out.shape[1]))
    model.encode_text(ids)
    model.encode_text(ids[1:])
    assert seen == [7, 4]


def test_text_ends_at_the_first_of_its_largest_ids():
    model, ids = tiny(), token_ids()
    ids[0, 9] = 59
    torch.testing.assert_close(model.encode_text(ids)[0], model.encode_text(token_ids())[0])


@pytest.mark.parametrize("part", ["visual", "text"])
def test_recomputed_blocks_change_nothing(part):
    model = tiny().train()
    batch = {"image": pixels(), "text": token_ids()}
    gradients = []
    for model.visual.checkpoint_blocks, model.text.checkpoint_blocks in (
        (False, False),
        (part == "visual", part == "text"),
    ):
        model.zero_grad()
        model(batch)["loss_contrastive"].backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
@pytest.mark.parametrize("how", ["weights", "autocast"])
def test_half_precision(device, dtype, tolerance, how):
    expected = tiny()({"image": pixels(), "text": token_ids()})
    model = tiny().to(device)
    if how == "weights":
        model = model.to(dtype)
    with torch.autocast(device, dtype=dtype, enabled=how == "autocast"):
        found = model({"image": pixels(), "text": token_ids()})
        assert model.encode_image(pixels()).dtype == model.encode_text(token_ids()).dtype == dtype
    assert model.logit_scale is model.text.logit_scale
    for name, value in found.items():
        assert value.dtype == dtype
        torch.testing.assert_close(value.float().cpu(), expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("device", DEVICES)
def test_loss_in_half_precision_is_float32(device):
    model = tiny().train().to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = model({"image": pixels(), "text": token_ids()})["loss_contrastive"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_towers_without_memory():
    """Fake tensors, as in the memory planner: the computation depends on no values."""
    model = tiny()
    mode = torch._subclasses.fake_tensor.FakeTensorMode()
    make_fake(model, mode)
    with mode:
        assert model.encode_text(torch.empty(5, 12, dtype=torch.int64)).shape == (5, 24)
        assert model.encode_image(torch.empty(2, 3, 28, 28)).shape == (2, 24)


def test_another_image_size():
    model, transforms = tiny(), create_clip_model_and_transforms("eva_clip_tiny", visual={"img_size": 42})[1:]
    assert model.encode_image(pixels(2, 42)).shape == (2, 24)
    assert [transform(Image.new("P", (50, 70))).shape for transform in transforms] == [(3, 42, 42)] * 2


@pytest.mark.parametrize("wrapper", [None, "model", "module", "state_dict"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_file(tmp_path, wrapper, dtype):
    """As released: half precision, nested in an entry, with the prefix of parallel training."""
    model, path = tiny(), tmp_path / "weights.pt"
    state = {f"module.{name}": value.half() for name, value in model.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state}, path)
    loaded = create_clip_model("eva_clip_tiny", path, dtype=dtype, **TINY)
    assert not loaded.training
    for name, value in loaded.state_dict().items():
        assert value.dtype == dtype, name
        assert torch.equal(value, model.state_dict()[name].half().to(dtype)), name
    assert loaded.encode_image(pixels()).dtype == dtype


def test_file_of_another_image_size(tmp_path):
    model, path = tiny(), tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    options = {**TINY, "visual": {**TINY["visual"], "img_size": 56}}
    loaded = create_clip_model("eva_clip_tiny", path, **options)
    grid = model.visual.pos_embed[:, 1:].detach().reshape(1, 2, 2, 32).permute(0, 3, 1, 2)
    expected = F.interpolate(grid, (4, 4), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    torch.testing.assert_close(loaded.visual.pos_embed[:, 1:].detach(), expected)


def test_file_that_does_not_fit(tmp_path, caplog):
    state, path = tiny().state_dict(), tmp_path / "weights.pt"
    del state["text.ln_final.bias"]
    torch.save({**state, "text.more": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"text\.ln_final\.bias does not fit the model"):
        create_clip_model("eva_clip_tiny", path, **TINY)
    with caplog.at_level(logging.INFO):
        loaded = create_clip_model("eva_clip_tiny", path, strict=False, dtype=torch.float16, **TINY)
    assert loaded.text.ln_final.bias.eq(0).all()
    assert "text.more" in caplog.text


def test_unknown_model():
    with pytest.raises(InputError, match="unknown model 'ViT-B-32'; choose one of eva_clip_g14"):
        create_clip_model("ViT-B-32")


def test_former_names_of_the_factories():
    """They have a default name, and return what the functions that replace them return."""
    with pytest.warns(FutureWarning, match="use create_clip_model"):
        from eva_clip import create_model, create_model_and_transforms
    with torch.device("meta"):
        assert len(create_model().visual.blocks) == 40  # eva_clip_g14
    model, *transforms = create_model_and_transforms("eva_clip_tiny", visual={"img_size": 42})
    assert isinstance(model, Clip)
    assert [transform(Image.new("P", (50, 70))).shape for transform in transforms] == [(3, 42, 42)] * 2


def test_initial_weights():
    """Standard deviations of the original release, on a text tower that is wide enough to measure them."""
    model = build_model("eva_clip_tiny", output_dim=128, text={"width": 256, "num_heads": 4, "vocab_size": 2000})
    text, block = model.text, model.text.transformer.resblocks[1]
    for weight, std in (
        (text.token_embedding.weight, 0.02),
        (text.positional_embedding, 0.01),
        (text.text_projection, 256**-0.5),
        (block.attn.in_proj_weight, 256**-0.5),
        (block.attn.out_proj.weight, 256**-0.5 * 4**-0.5),
        (block.mlp.c_proj.weight, 256**-0.5 * 4**-0.5),
        (block.mlp.c_fc.weight, 512**-0.5),
        (model.visual.head.weight, 2e-5),
    ):
        assert weight.std().item() == pytest.approx(std, rel=0.05)
    assert text.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    assert block.attn.in_proj_bias.eq(0).all()
    assert block.attn.out_proj.bias.eq(0).all()
