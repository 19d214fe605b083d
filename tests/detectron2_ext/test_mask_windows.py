"""Masks in windows are exactly those of Detectron2 and pycocotools on the full image, and take less time."""

import time

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.layers.mask_ops import paste_masks_in_image
from detectron2.structures import Boxes, Instances

from detectron2_ext.mask_windows import decode_window, encode_predicted_masks, encode_window, find_window
from detectron2_ext.prediction import draw_instances

SIZES = [(75, 100), (301, 203), (1, 40), (40, 1), (2, 2)]


def random_masks(size: tuple[int, int]) -> list[np.ndarray]:
    """Random, empty, full, single pixels in the corners, full columns (whose runs join), and a stripe of rows."""
    rng = np.random.default_rng(sum(size))
    masks = [rng.random(size) < density for density in (0.0, 0.02, 0.5, 0.98, 1.0)]
    for index in ((0, 0), (-1, -1), (0, -1), (slice(None), -1), (slice(None), slice(1, 3)), (slice(-1, None),)):
        masks.append(np.zeros(size, bool))
        masks[-1][index] = True
    return masks


@pytest.mark.parametrize("size", SIZES)
def test_run_lengths_are_those_of_pycocotools(size):
    for mask in random_masks(size):
        rle = mask_util.encode(np.asfortranarray(mask.view(np.uint8)))
        assert encode_window(find_window(mask), size) == rle
        for margin in (0, 3):
            window = decode_window(rle, margin)
            full = np.zeros(size, bool)
            if window is not None:
                top, left, part = window
                full[top : top + part.shape[0], left : left + part.shape[1]] = part
            assert (window is None) == (not mask.any())
            np.testing.assert_array_equal(full, mask)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["noise", "ellipse", "ones", "nan", "half", "threshold"])
def test_pasted_masks_are_those_of_detectron2(size, kind):
    generator = torch.Generator().manual_seed(3)
    height, width = size
    corners = (torch.rand(20, 2, 2, generator=generator) * torch.tensor([width, height])).sort(dim=1).values
    boxes = torch.cat([corners.flatten(1), torch.tensor([[0.0, 0.0, width, height]])])
    masks = torch.rand(21, 28, 28, generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(-1, 1, 28), indexing="ij")
    if kind == "ellipse":
        masks = torch.sigmoid((0.8 - (x**2 + y**2).sqrt()) * 8).repeat(21, 1, 1)
    elif kind == "ones":
        masks = torch.ones(21, 28, 28)
    elif kind == "nan":
        masks[:, 10:14] = torch.nan
    elif kind == "threshold":  # plateaus at the threshold, and rounding errors around it
        masks = 0.5 + (masks * 3 - 1).round() * 1e-7
    elif kind == "half":
        masks = masks.half()
    expected = paste_masks_in_image(masks, boxes, size).numpy().view(np.uint8)
    assert expected.any()
    assert encode_predicted_masks(boxes, masks, size) == [
        mask_util.encode(np.asfortranarray(mask)) for mask in expected
    ]


def test_many_masks_in_a_large_image():
    size, count = (4000, 6000), 300  # more than the 255 masks of which pycocotools can compute the areas together
    rng = np.random.default_rng(0)
    left_top = rng.uniform(0, (5800, 3800), (count, 2))
    boxes = torch.tensor(np.hstack([left_top, left_top + 150]), dtype=torch.float32)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(-1, 1, 28), indexing="ij")
    masks = torch.sigmoid((0.8 - (x**2 + y**2).sqrt()) * 8).repeat(count, 1, 1)
    start = time.process_time()
    rles = encode_predicted_masks(boxes, masks, size)
    found = Instances(size, pred_boxes=Boxes(boxes), pred_masks_rle=rles, pred_classes=torch.zeros(count).long())
    drawn = draw_instances(np.zeros((*size, 3), np.uint8), found, ["cell"])
    # On the full image it takes over half a second for each mask, and here about 5 ms.
    assert time.process_time() - start < count / 20
    assert drawn.any()
