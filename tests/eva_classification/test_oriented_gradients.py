"""Oriented gradients: known edges, symmetries, and the order of patches and cells."""

import pytest
import torch

from eva_backbone.errors import InputError
from eva_classification.mim.oriented_gradients import OrientedGradients


def edge(direction: str) -> torch.Tensor:
    """An 8 x 8 image that gets brighter in one direction."""
    ramp = torch.arange(8.0).expand(8, 8)
    pixels = {"right": ramp, "left": ramp.flip(1), "down": ramp.T, "up": ramp.T.flip(0)}[direction]
    return pixels.expand(1, 3, 8, 8)


@pytest.mark.parametrize(("direction", "number"), [("right", 0), ("down", 2), ("left", 4), ("up", 6)])
def test_a_slope_fills_its_own_direction(direction, number):
    features = OrientedGradients(8, num_directions=8)(edge(direction))
    assert features.shape == (1, 1, 8)
    torch.testing.assert_close(features[0, 0], torch.eye(8)[number], atol=1e-6, rtol=0)


def test_a_direction_between_two_is_shared():
    halfway = edge("right") + edge("down")  # 45 degrees: between the directions 0 and 90 of four
    features = OrientedGradients(8, num_directions=4)(halfway)[0, 0]
    assert features[0] == pytest.approx(float(features[1]), rel=1e-4)
    assert features[0] > 0.6
    assert features[2:].abs().max() < 0.3


def test_directions_are_circular():
    almost_right = edge("right") + 0.2 * edge("up")
    features = OrientedGradients(8, num_directions=8)(almost_right)[0, 0]
    assert features[0] > features[7] > 0.2
    assert features[1:7].abs().max() < 1e-6


def test_patches_in_row_order_with_their_cells():
    pixels = torch.zeros(1, 3, 16, 24)
    pixels[..., 9:15, 17:23] = torch.arange(6.0)  # the last patch of 2 x 3
    features = OrientedGradients(8, num_directions=8, cells=2)(pixels)
    assert features.shape == (1, 6, 32)
    lengths = features.norm(dim=-1)[0]
    torch.testing.assert_close(lengths, torch.tensor([0.0, 0, 0, 0, 0, 1]))
    only = torch.zeros(1, 3, 8, 8)
    only[..., :3, 5:7] = 1  # one cell: above on the right
    by_direction = OrientedGradients(8, num_directions=8, cells=2)(only)[0, 0].reshape(8, 4)
    assert by_direction[:, 1].abs().sum() > 3 * by_direction[:, [0, 2, 3]].abs().sum()


def test_features_do_not_depend_on_contrast_and_brightness():
    torch.manual_seed(0)
    pixels = torch.rand(2, 3, 32, 32)
    teacher = OrientedGradients(8, cells=2)
    torch.testing.assert_close(teacher(pixels), teacher(3 * pixels - 1), atol=1e-5, rtol=1e-4)
    assert teacher.dim == teacher(pixels).shape[-1] == 32


def test_cells_must_divide_the_patch_size():
    with pytest.raises(InputError, match="cells=4 does not divide patch_size=14"):
        OrientedGradients(14, cells=4)
