"""Windows in batches compared with a simple implementation of one window at a time."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from eva_backbone.errors import InputError
from eva_semseg import inference as inference_module
from eva_semseg.inference import ViewInference, view_probabilities
from eva_semseg.sliding_windows import SlidingWindows, WindowScores, window_starts

CONV = torch.nn.Conv2d(3, 4, 5, padding=2)


def quarter_scores(pixels: Tensor) -> Tensor:
    """Scores that depend on the content of the window, at a quarter of its resolution."""
    return F.avg_pool2d(CONV(pixels), 4, ceil_mode=True)


def one_window_at_a_time(score, pixels: Tensor, size: tuple, stride: tuple, content: tuple, output: tuple) -> Tensor:
    height, width = pixels.shape[2:]
    total, count = 0, torch.zeros(1, 1, height, width)
    side = min(size[0], height), min(size[1], width)
    for top in window_starts(height, side[0], stride[0]):
        for left in window_starts(width, side[1], stride[1]):
            window = pixels[:, :, top : top + side[0], left : left + side[1]]
            scores = F.interpolate(score(window), size=side, mode="bilinear", align_corners=False)
            around = (left, width - left - side[1], top, height - top - side[0])
            total = total + F.pad(scores, around)
            count += F.pad(torch.ones(1, 1, *side), around)
    scores = (total / count)[:, :, : content[0], : content[1]]
    return F.interpolate(scores, size=output, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (896, 896, 512, [0]),
        (897, 896, 512, [0, 1]),
        (1408, 896, 512, [0, 512]),
        (1409, 896, 512, [0, 512, 513]),
        (768, 896, 512, [0]),
        (1, 1, 1, [0]),
    ],
)
def test_the_last_window_ends_at_the_border(length, window, stride, starts) -> None:
    assert window_starts(length, window, stride) == starts


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize(
    ("shape", "content", "output"),
    [
        ((1, 3, 50, 70), (50, 70), (50, 70)),
        ((2, 3, 70, 50), (70, 50), (33, 91)),
        ((1, 3, 64, 64), (26, 44), (52, 88)),  # padded: one window holds nothing of the image but padding
        ((1, 3, 20, 90), (20, 90), (31, 17)),
        ((1, 3, 9, 7), (9, 7), (5, 30)),
    ],
)
@torch.no_grad()
def test_batches_of_windows_equal_one_at_a_time(shape, content, output, batch_size) -> None:
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    windows = SlidingWindows((32, 28), (20, 18), batch_size)
    expected = one_window_at_a_time(quarter_scores, pixels, (32, 28), (20, 18), content, output)
    found = windows(quarter_scores, pixels, content=content, output_size=output)
    torch.testing.assert_close(found.rows(), expected, rtol=0, atol=2e-6)
    parts = [found.rows(first, first + 4) for first in range(0, output[0], 4)]
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, rtol=0, atol=2e-6)


@torch.no_grad()
def test_windows_equal_the_whole_image_for_a_model_of_single_pixels() -> None:
    pixels = torch.randn(1, 3, 50, 70)
    score = torch.nn.Conv2d(3, 4, 1)
    windows = SlidingWindows((32, 28), (20, 18)), SlidingWindows(None)
    tiled, whole = (each(score, pixels).rows() for each in windows)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(whole, score(pixels), rtol=0, atol=1e-6)


@torch.no_grad()
def test_no_batch_is_larger_than_requested() -> None:
    seen = []

    def score(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return pixels

    SlidingWindows((32, 32), (16, 16), batch_size=4)(score, torch.randn(1, 3, 80, 64))
    assert sum(seen) == 12
    assert max(seen) == 4


@torch.no_grad()
def test_scores_of_reduced_precision_are_averaged_in_full() -> None:
    pixels = torch.randn(1, 3, 50, 70)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = SlidingWindows((32, 32), (20, 20))(lambda window: window, pixels).rows()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pixels, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": (900, 512)}, "skips pixels between windows"),
        ({"batch_size": 0}, "1 or more"),
        ({"stride": (0, 1)}, "stride"),
    ],
)
def test_settings_that_cannot_work(options, message) -> None:
    with pytest.raises(InputError, match=message):
        SlidingWindows((896, 896), **options)


@torch.no_grad()
def test_flipped_views_are_flipped_back_before_the_mean() -> None:
    pixels = torch.randn(1, 3, 24, 30)
    options = {"content": (24, 30), "output_size": (12, 15)}
    windows = SlidingWindows(None)
    plain = view_probabilities(windows(lambda x: x, pixels, **options))
    mirrored = view_probabilities(windows(lambda x: x, pixels.flip(3), **options), flipped=True)
    torch.testing.assert_close(plain, mirrored)
    torch.testing.assert_close(plain.sum(1), torch.ones(1, 12, 15))


def test_views_are_normalised_and_averaged() -> None:
    inference = ViewInference(SlidingWindows(None), pixel_mean=[10, 20, 30], pixel_std=[2, 4, 5])
    pixels = torch.tensor([12, 20, 25], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 6)
    seen = []

    def score(window: Tensor) -> Tensor:
        seen.append(window[0, :, 0, 0].tolist())
        return torch.full((1, 2, 4, 6), 0.0) + torch.tensor([len(seen) - 1.0, 0.0]).view(1, 2, 1, 1)

    views = [{"pixels": pixels, "content": (4, 6), "flipped": False}] * 2
    found = inference(score, {"views": views, "height": 8, "width": 3}, torch.device("cpu"))
    assert seen == [[1.0, 0.0, -1.0]] * 2
    assert found.shape == (2, 8, 3)
    assert found[0, 0, 0].item() == pytest.approx((0.5 + 1 / (1 + 2.718281828**-1)) / 2)


@pytest.mark.parametrize("most", [1, 500, 10**6])
@torch.no_grad()
def test_strips_of_rows_have_at_most_the_allowed_size(most, monkeypatch) -> None:
    """At least one row; the most likely classes are those of the complete map."""
    pixels = torch.randint(256, (3, 40, 50), dtype=torch.uint8)
    views = [{"pixels": pixels, "content": (36, 50), "flipped": flipped} for flipped in (False, True)]
    image = {"views": views, "height": 61, "width": 17}
    inference = ViewInference(SlidingWindows((32, 28), (20, 18)), pixel_mean=[120] * 3, pixel_std=[60] * 3)
    expected = inference(quarter_scores, image, torch.device("cpu"))
    sizes = []

    def rows(self: WindowScores, *of: int) -> Tensor:
        found = original(self, *of)
        sizes.append(found.numel())
        return found

    original = WindowScores.rows
    monkeypatch.setattr(WindowScores, "rows", rows)
    monkeypatch.setattr(inference_module, "MAX_STRIP_ELEMENTS", most)
    torch.testing.assert_close(inference(quarter_scores, image, torch.device("cpu")), expected, rtol=0, atol=1e-6)
    classes = inference.predict_labels(quarter_scores, image, torch.device("cpu"))
    assert max(sizes) <= max(most, 4 * 17)
    assert classes.dtype == torch.uint8
    assert classes.equal(expected.argmax(0).to(torch.uint8))
