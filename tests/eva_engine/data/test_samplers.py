"""The order of training samples, compared with Detectron2's sampler."""

from itertools import islice

import pytest
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm

from eva_engine.data import samplers
from eva_engine.data.samplers import ShuffledSampler


@pytest.mark.parametrize("size", [1, 2, 7, 24])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_process_gets_the_same_indices_as_from_detectron2(size, world_size, monkeypatch):
    monkeypatch.setattr(samplers, "_CHUNK_SIZE", 3)
    for module in (comm, samplers):
        monkeypatch.setattr(module, "get_world_size", lambda: world_size)
    for rank in range(world_size):
        for module in (comm, samplers):
            monkeypatch.setattr(module, "get_rank", lambda rank=rank: rank)
        expected = islice(TrainingSampler(size, seed=3), 50)
        assert list(islice(ShuffledSampler(size, 3), 50)) == list(expected)
