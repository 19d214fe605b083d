"""Random numbers that depend only on the seed and the number of a sample."""

import random

import numpy as np
import pytest
import torch

from eva_engine.data.seeded_dataset import seeded_randomness


def _draw() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(1, dtype=torch.float64).item()


def _draw_seeded(*numbers: int) -> tuple[float, float, float]:
    with seeded_randomness(*numbers):
        return _draw()


def test_only_seed_and_number_count():
    expected = _draw_seeded(3, 10**9)
    _draw()
    assert _draw_seeded(3, 10**9) == expected
    others = [_draw_seeded(*pair) for pair in ((3, 10**9 + 1), (4, 10**9), (10**9, 3), (2**31 - 1, 2**40))]
    others += [_draw_seeded(3, 10**9, stream) for stream in (0, 1, 2**32)]
    everything = [number for drawn in (expected, *others) for number in drawn]
    assert len(set(everything)) == len(everything)


def test_the_outer_random_state_is_restored():
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = _draw()
    random.setstate(before[0]), np.random.set_state(before[1]), torch.set_rng_state(before[2])
    with pytest.raises(KeyError), seeded_randomness(1, 2):
        {}[_draw()]
    assert _draw() == expected
