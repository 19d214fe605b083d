"""Random state: saving, loading and preserving it."""

import io
import random

import numpy as np
import torch

from eva_engine.training.random_state import get_random_state, preserved_random_state, set_random_state


def draw():
    return random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.randn(2).tolist()


def test_state_that_went_through_a_file_repeats_what_was_drawn():
    draw()  # half of a pair of normal numbers stays behind
    file = io.BytesIO()
    torch.save(get_random_state(), file)
    first = draw(), draw()
    file.seek(0)
    set_random_state(torch.load(file, weights_only=True))
    assert (draw(), draw()) == first


def test_the_state_is_restored_after_the_context():
    with preserved_random_state():
        inside = draw()
    assert draw() == inside
