"""Adapting weights of image models, other clips and other classes to a video model."""

import pytest
import torch
import torch.nn.functional as F

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_video import VideoStateDictAdapter, create_video_classifier
from eva_video.state_dict_adapter import inflate_patch_kernel

NAME = "eva_tiny_patch14_video"
TINY = {"embed_dim": 32, "depth": 1, "num_heads": 2}


def video_model(num_classes=5, num_frames=4, img_size=28, **options):
    return create_video_classifier(
        NAME, num_classes=num_classes, num_frames=num_frames, img_size=img_size, **{**TINY, **options}
    )


def random_state(model):
    return {name: torch.randn(value.shape) for name, value in model.state_dict().items()}


def loaded(model, weights):
    adapted = {**weights, **model.adapt_state_dict(weights)}
    own = model.state_dict()
    fitting = {name: value for name, value in adapted.items() if name in own and value.shape == own[name].shape}
    return fitting, model


@pytest.mark.parametrize("tubelet_size", [1, 2, 4])
def test_a_still_clip_gives_what_the_image_gave(tubelet_size):
    """The inflated kernel sums up over equal frames; in float64, because sums of many numbers differ by rounding."""
    image = VisionTransformer(img_size=28, **TINY)
    video = video_model(tubelet_size=tubelet_size)
    weights = random_state(image)
    image.load_state_dict(weights)
    found, _ = loaded(video, weights)
    video.load_state_dict(found, strict=False)
    image, video = image.double(), video.double()
    pixels = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    patches = image.patch_embed(pixels)[0]
    tubelets = video.patch_embed(pixels[:, :, None].expand(-1, -1, 4, -1, -1))[0]
    torch.testing.assert_close(tubelets, patches.repeat(1, 4 // tubelet_size, 1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        video.add_positions(tubelets, video.pos_grid)[:, 1:],
        image.add_positions(patches, (2, 2))[:, 1:].repeat(1, 4 // tubelet_size, 1),
        rtol=1e-6,
        atol=1e-6,
    )


def test_positions_of_larger_images_are_resized_before_they_are_repeated():
    weights = random_state(VisionTransformer(img_size=42, **TINY))
    found = video_model(num_frames=3).adapt_state_dict(weights)["pos_embed"]
    table = weights["pos_embed"]
    maps = table[:, 1:].reshape(1, 3, 3, 32).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, (2, 2), mode="bicubic", align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
    torch.testing.assert_close(found, torch.cat([table[:, :1], maps, maps, maps], dim=1))


@pytest.mark.parametrize(
    ("source", "target", "arguments"),
    [
        ((8, 28), (16, 28), {}),
        ((4, 28), (2, 28), {}),
        ((4, 28), (4, 42), {}),  # other size, same length
        ((4, 42), (2, 28), {"num_frames": 4, "img_size": 42}),  # would also fit nine smaller frames
        ((4, 42), (2, 28), {"num_frames": 4}),
        ((4, 42), (2, 28), {"img_size": 42}),
        ((9, 28), (4, 42), {"num_frames": 9, "img_size": 28, "num_classes": 9}),  # as many positions
    ],
)
def test_positions_of_other_clips(source, target, arguments):
    weights = random_state(video_model(9, *source))
    found = video_model(5, *target, state_dict_adapter=VideoStateDictAdapter(**arguments)).adapt_state_dict(weights)[
        "pos_embed"
    ]
    (frames, size), table = source, weights["pos_embed"]
    maps = table[:, 1:].reshape(1, frames, size // 14, size // 14, 32).movedim(-1, 1)
    grid = (target[0], target[1] // 14, target[1] // 14)
    maps = F.interpolate(maps, grid, mode="trilinear", align_corners=False)
    torch.testing.assert_close(found, torch.cat([table[:, :1], maps.flatten(2).transpose(1, 2)], dim=1))


def test_files_of_the_same_model_are_not_changed():
    """This holds even if the adapter describes another file: a run resumes from its own checkpoints."""
    adapter = VideoStateDictAdapter(num_frames=16, img_size=14, num_classes=8, head_rows=[0, 1, 2, 3, 4])
    model = video_model(state_dict_adapter=adapter)
    assert model.adapt_state_dict(random_state(model)) == {}


@pytest.mark.parametrize(
    ("rows_in_file", "taken"),
    [(8, True), (7, False), (5, False)],  # the file's own classes; some others; the model's
)
def test_rows_of_the_head(rows_in_file, taken):
    rows = [7, 0, 3, 4, 2]
    weights = random_state(video_model(rows_in_file))
    adapted = video_model(state_dict_adapter=VideoStateDictAdapter(num_classes=8, head_rows=rows)).adapt_state_dict(
        weights
    )
    assert set(adapted) == ({"head.weight", "head.bias"} if taken else set())
    for name in {"head.weight", "head.bias"} & set(adapted):
        assert torch.equal(adapted[name], weights[name][rows])


@pytest.mark.parametrize(
    ("source", "arguments", "sentence"),
    [
        ((5, 42), {}, "a position table of 45 patches does not fit frames of 2 patches a side"),
        ((4, 28), {"num_frames": 3}, "a position table of 16 patches does not fit 3 steps in time"),
        ((4, 28), {"num_frames": 4, "img_size": 42}, "does not fit 4 steps"),
    ],
)
def test_tables_of_unknown_grid(source, arguments, sentence):
    weights = random_state(video_model(9, *source))
    with pytest.raises(InputError, match=sentence):
        video_model(num_frames=8, state_dict_adapter=VideoStateDictAdapter(**arguments)).adapt_state_dict(weights)


def test_tables_of_images_that_are_not_square():
    weights = random_state(VisionTransformer(img_size=28, **TINY)) | {"pos_embed": torch.randn(1, 7, 32)}
    with pytest.raises(InputError, match="not a square grid"):
        video_model().adapt_state_dict(weights)


def test_half_precision_kernels_are_divided_in_float32():
    kernel = torch.randn(4, 3, 14, 14).half()
    assert torch.equal(inflate_patch_kernel(kernel, 3)[:, :, 1], kernel.float() / 3)
    assert torch.equal(inflate_patch_kernel(kernel, 1)[:, :, 0], kernel)
