"""Values of labels and masks among fake tensors."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from eva_engine.memory.known_data import KnownData, ZerosOutside


@pytest.fixture
def features():
    """Fake, [2, 4, 8]; the test runs among fake tensors."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, KnownData(mode), ZerosOutside():
        yield torch.zeros(2, 4, 8, requires_grad=True)


LABELS = torch.tensor([3, 1, 3])
MASK = torch.tensor([[True, False, True, True], [False, False, True, False]])


def test_a_mask_selects_as_many_as_it_has(features):
    chosen = features[MASK.flatten(1)]
    assert isinstance(chosen, FakeTensor)
    assert chosen.shape == (4, 8)
    chosen.sum().backward()
    assert features.grad.shape == features.shape


@pytest.mark.usefixtures("features")
def test_whole_numbers_keep_their_values():
    assert int(LABELS.max()) == 3
    assert LABELS.unique().tolist() == [1, 3]
    assert not isinstance(LABELS[None] == 3, FakeTensor)


@pytest.mark.usefixtures("features")
def test_floating_point_results_are_fake():
    masks = (LABELS.unique()[:, None] == LABELS).float()
    assert isinstance(masks, FakeTensor)
    assert masks.shape == (2, 3)
    with pytest.raises(RuntimeError):
        masks.sum().item()


def test_fake_arrays_have_the_right_shape(features):
    rows, columns = linear_sum_assignment(features[0].detach().cpu().numpy())
    assert len(rows) == len(columns) == 4
    assert features[:, torch.from_numpy(rows)].shape == (2, 4, 8)
