"""The order of training against Detectron2's sampler."""

from itertools import islice

import pytest
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm

from eva_engine.data import shuffled_sampler as shuffled_indices
from eva_engine.data.shuffled_sampler import ShuffledSampler


@pytest.mark.parametrize("size", [1, 2, 7, 24])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_process_gets_what_detectron2s_sampler_gives(size, world_size, monkeypatch):
    monkeypatch.setattr(shuffled_indices, "_AT_ONCE", 3)
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
    for rank in range(world_size):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        theirs = islice(TrainingSampler(size, seed=3), 50)
        assert list(islice(ShuffledSampler(size, 3), 50)) == list(theirs)
