"""One pre-training checkpoint in the models of all tasks: equal tensors, and equal tokens wherever they should be.

Where two models run the same operations on the same shapes, equality is exact, in float32. Where they run different
operations that are equal in exact arithmetic, both compute in float64 and may differ by rounding only.
"""

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from one_backbone_models import (
    DEPTH,
    GIANT,
    GRID,
    MODELS,
    SMALL,
    WIDTH,
    backbone_of,
    detector,
    published_entries,
    segmentation,
    small_file,
)
from torch import Tensor, nn

from eva_backbone.patch_embed import resize_patch_kernel
from eva_classification import create_classifier
from eva_engine.checkpoint import build_and_load
from eva_engine.checkpoint.matching import match_weights
from eva_video import create_video_classifier

close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
exact = partial(torch.testing.assert_close, rtol=0, atol=0)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> tuple[Path, dict[str, Tensor]]:
    return small_file(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def models(file) -> dict[str, nn.Module]:
    return {name: build_and_load(build, file[0])[0].eval() for name, build in MODELS.items()}


def load(build, file) -> nn.Module:
    return build_and_load(build, file[0])[0].eval()


def double(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).double()


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def last_tokens(model: nn.Module, call) -> Tensor:
    """Return the output of the last block while `call()` runs the model as its users do."""
    seen = []
    handle = backbone_of(model).blocks[-1].register_forward_hook(lambda _module, _inputs, out: seen.append(out))
    try:
        call()
    finally:
        handle.remove()
    return seen[-1]


@torch.no_grad()
def run_blocks(model: nn.Module, tokens: Tensor, grid: tuple[int, ...] = GRID) -> Tensor:
    return backbone_of(model).run_blocks(tokens, grid)


@torch.no_grad()
def embedded(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return the input of the first block."""
    vit = backbone_of(model)
    return vit.add_positions(*vit.patch_embed(pixels))


def differ(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() > 0.05)


PATCH_14 = ("classifier", "pre-training", "CLIP")


@pytest.mark.parametrize("name", MODELS)
def test_the_same_tensors(name, models, file):
    state = backbone_of(models[name]).state_dict()
    blocks = {entry: value for entry, value in file[1].items() if entry.startswith("blocks.")}
    assert len(blocks) == 13 * DEPTH
    for entry, value in blocks.items():
        assert torch.equal(state[entry], value), entry
    # The other parameters of the blocks are not in the file: the detector's relative positions, which start at zero.
    others = {entry for entry in state if entry.startswith("blocks.")} - blocks.keys()
    assert {entry.rpartition(".")[2] for entry in others} == (
        {"rel_pos_h", "rel_pos_w"} if name == "detector" else set()
    )
    assert all(state[entry].eq(0).all() for entry in others)
    assert torch.equal(state["patch_embed.proj.bias"], file[1]["patch_embed.proj.bias"])
    assert name == "detector" or torch.equal(state["cls_token"], file[1]["cls_token"])


@pytest.mark.parametrize("name", MODELS)
def test_the_published_file_in_the_full_size_models(name):
    """All 40 blocks of `eva_psz14.pt` are loaded unchanged, by name."""
    size = {"embed_dim": 1408, "depth": 40, "num_heads": 16}
    weights = {entry: torch.zeros((), dtype=torch.float16).expand(shape) for entry, shape in published_entries()}
    with torch.device("meta"):
        model = MODELS[name](size)
    _, report = match_weights(model, weights, Path("eva_psz14.pt"))
    (prefix,) = {used.partition("blocks.")[0] for used in report.used if "blocks." in used}
    assert len({used for used in report.used if "blocks." in used}) == 40 * 13
    expected = {"pos_embed", "patch_embed.proj.weight"}  # patch 16 and its grid; one more axis for time
    resized = {change.name.removeprefix(prefix) for change in report.resized}
    assert resized == (set() if name in PATCH_14 else expected if name != "segmentation" else expected - {"pos_embed"})
    assert not report.skipped


@pytest.mark.parametrize("name", MODELS)
def test_blocks_on_the_same_tokens(name, models):
    """A class token and 256 patches; for the detector the patches alone, as it has no class token."""
    tokens = drawn(2, 257, WIDTH)
    if name != "detector":
        exact(run_blocks(models[name], tokens), run_blocks(models["pre-training"], tokens))
        return
    # Windows of the size of the grid, as here, are global attention. Relative positions of zero add nothing to the
    # logits, but are computed by the chunked kernel.
    patches = tokens[:, 1:].double()
    close(run_blocks(double(models[name]), patches), run_blocks(double(models["pre-training"]), patches))


@pytest.mark.parametrize("name", PATCH_14)
def test_the_same_pixels(name, models):
    """The three models of patch 14 and 224 pixels agree exactly, before and after their heads."""
    pixels, model = drawn(2, 3, 224, 224), models[name]
    nothing_hidden = torch.zeros(2, 256, dtype=torch.bool)
    reference = models["pre-training"]
    expected = last_tokens(reference, lambda: reference.forward_features(pixels, nothing_hidden))
    calls = {
        "classifier": (lambda: model(pixels), lambda: model.head(model.fc_norm(expected[:, 1:].mean(1)))),
        "pre-training": (lambda: model.forward_features(pixels, nothing_hidden), lambda: model.norm(expected)),
        "CLIP": (lambda: model.encode_image(pixels), lambda: model.visual.head(model.visual.norm(expected[:, 0]))),
    }
    call, expected_output = calls[name]
    exact(last_tokens(model, call), expected)
    with torch.no_grad():
        exact(call(), expected_output())


def test_hidden_patches(models):
    """Pre-training differs if patches are masked: their tokens are the mask token, to which all others attend."""
    model, pixels = models["pre-training"], drawn(1, 3, 224, 224)
    mask = torch.zeros(1, 256, dtype=torch.bool)
    mask[0, 5] = True
    with torch.no_grad():
        assert differ(model.forward_features(pixels, mask), model.forward_features(pixels, mask & False))


@pytest.mark.parametrize(("num_frames", "tubelet_size"), [(1, 1), (2, 2)])
def test_a_video_of_one_step(num_frames, tubelet_size, models, file):
    """A frame, or a tubelet of equal frames, over which the kernel is divided, gives the tokens of the image."""
    options = {"num_classes": 5, "num_frames": num_frames, "tubelet_size": tubelet_size, **SMALL}
    video = double(load(partial(create_video_classifier, "eva_giant_patch14_video", **options), file))
    pixels, image = drawn(2, 3, 224, 224).double(), double(models["classifier"])
    clips = pixels[:, :, None].expand(-1, -1, num_frames, -1, -1)
    close(last_tokens(video, lambda: video(clips)), last_tokens(image, lambda: image(pixels)))


def test_a_video_of_equal_frames(models):
    """Each frame gets the tokens of the image if the class token is repeated as often as the frames.

    Attention over T copies of the same keys equals attention over one copy. But a clip has only one class token, whose
    weight is a T-th of that in an image, so its tokens differ from the image's. They are still equal in all frames.
    """
    video, image, pixels = double(models["video"]), double(models["classifier"]), drawn(2, 3, 224, 224).double()
    tokens = last_tokens(video, lambda: video(pixels[:, :, None].expand(-1, -1, 2, -1, -1)))
    expected = last_tokens(image, lambda: image(pixels))
    first, second = tokens[:, 1:].chunk(2, dim=1)
    close(first, second)
    assert differ(first, expected[:, 1:])
    one = embedded(image, pixels)
    twice = torch.cat([one[:, :1], one[:, :1], one[:, 1:], one[:, 1:]], dim=1)
    tokens = run_blocks(video, twice, (2, *GRID))
    close(tokens[:, 1], expected[:, 0])
    for frame in tokens[:, 2:].chunk(2, dim=1):
        close(frame, expected[:, 1:])


@pytest.fixture(scope="module")
def patch_16(file) -> nn.Module:
    """The classifier at patch 16 and 256 pixels, with the grid of patch 14 and 224 pixels: positions are unchanged."""
    model = load(partial(create_classifier, GIANT, num_classes=5, patch_size=16, img_size=256, **SMALL), file)
    assert torch.equal(model.pos_embed, file[1]["pos_embed"])
    assert torch.equal(model.patch_embed.proj.weight, resize_patch_kernel(file[1]["patch_embed.proj.weight"], (16, 16)))
    return model


def test_the_adapter(models, patch_16, file):
    """The adapter's class token has no position: row 0 of the table is stored but not used.

    With zeros in that row all models agree exactly, because the injectors start as the identity.
    """
    adapter, pixels = models["segmentation"], drawn(1, 3, 256, 256)
    for entry in ("patch_embed.proj.weight", "pos_embed"):
        assert torch.equal(backbone_of(adapter).state_dict()[entry], patch_16.state_dict()[entry])
    into_adapter, into_classifier = embedded(adapter, pixels), embedded(patch_16, pixels)
    exact(into_adapter[:, 1:], into_classifier[:, 1:])
    exact(into_adapter[:, 0] + patch_16.pos_embed[:, 0].detach(), into_classifier[:, 0])
    larger = drawn(1, 3, 320, 288)  # another grid: the table is resized
    exact(embedded(adapter, larger)[:, 1:], embedded(patch_16, larger)[:, 1:])
    found = last_tokens(adapter, lambda: adapter.backbone(pixels))
    assert differ(found, last_tokens(patch_16, lambda: patch_16(pixels)))
    without = load(partial(create_classifier, GIANT, num_classes=5, patch_size=16, img_size=256, **SMALL), file)
    with torch.no_grad():
        without.pos_embed[:, 0] = 0
    exact(found, last_tokens(without, lambda: without(pixels)))


def test_an_injector_that_has_learned(file):
    """With non-zero factors, the spatial prior changes the tokens."""
    adapter, pixels = load(segmentation, file), drawn(1, 3, 256, 256)
    before = last_tokens(adapter, lambda: adapter.backbone(pixels))
    for interaction in adapter.backbone.interactions:
        nn.init.constant_(interaction.injector.gamma, 0.5)
    assert differ(last_tokens(adapter, lambda: adapter.backbone(pixels)), before)


GLOBAL, WITHOUT_TABLES = {"window_block_indexes": []}, {"use_rel_pos": False}


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({**GLOBAL, **WITHOUT_TABLES}, exact),
        # a window of the size of the grid is global attention
        ({"window_size": 16, **WITHOUT_TABLES}, exact),
        # untrained relative position tables are zero and add nothing
        (GLOBAL, close),
        ({"window_size": 16}, close),
        # smaller windows are separate until the next global block
        ({"window_size": 8}, None),
        # windows beyond the edge also attend to the zero padding
        ({"window_size": 20}, None),
    ],
    ids=["global", "one window", "zero tables", "as published", "four windows", "window over the edge"],
)
def test_the_detector(options, same, patch_16, file):
    """The detector has no class token: except for windows, it runs the classifier's blocks on the patches only.

    The recipe stores positions for 224 pixels, a grid of 14 x 14, to which those of the file are resized; here they are
    stored for 256 pixels, with the grid of the file.
    """
    model = load(partial(detector, pretrain_img_size=256, **options), file)
    net, pixels = backbone_of(model), drawn(1, 3, 256, 256)
    assert len(net.blocks) == DEPTH
    exact(embedded(model, pixels), embedded(patch_16, pixels)[:, 1:])  # the table entry of the class token is not used
    if same is close:
        model, patch_16, pixels = model.double(), double(patch_16), pixels.double()
    found = last_tokens(model, lambda: net(pixels))
    expected = run_blocks(patch_16, embedded(patch_16, pixels)[:, 1:])
    if same is None:
        assert differ(found, expected)
    else:
        same(found, expected)
    # the class token is a key of every query, so all tokens differ without it
    assert differ(expected, last_tokens(patch_16, lambda: patch_16(pixels))[:, 1:])


def test_trained_relative_positions(file):
    """Non-zero relative position tables, which only the detector has, change the tokens."""
    model, pixels = load(detector, file), drawn(1, 3, 256, 256)
    net = backbone_of(model)
    before = last_tokens(model, lambda: net(pixels))
    for block in net.blocks:
        nn.init.normal_(block.attn.rel_pos_h, std=0.5)
    assert differ(last_tokens(model, lambda: net(pixels)), before)
