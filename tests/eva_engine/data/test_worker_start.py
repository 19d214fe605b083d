"""Workers do not collect garbage of the process that forked them."""

import gc
import os
from collections.abc import Iterable, Iterator

import pytest

from eva_engine.data import build_train_loader
from eva_engine.data.eval_loader import EvalLoader

PARENT = os.getpid()
RECORDS = [{"file_name": str(number), "width": 4, "height": 4} for number in range(4)]


class Threaded:
    """An object whose destructor would wait for threads that a forked process does not have."""

    def __del__(self) -> None:
        if os.getpid() != PARENT:
            os._exit(3)


@pytest.fixture(autouse=True)
def _garbage_in_a_cycle() -> Iterator[None]:
    gc.collect()
    gc.disable()
    garbage = Threaded()
    garbage.own = garbage
    del garbage
    yield
    gc.enable()
    gc.collect()


def collecting(record: dict) -> dict:
    gc.collect()
    return record


def training() -> Iterable:
    return build_train_loader(RECORDS, mapper=collecting, total_batch_size=2, num_workers=1)


def evaluation() -> Iterable:
    return EvalLoader(RECORDS, mapper=collecting, num_workers=1)


@pytest.mark.parametrize("loader", [training, evaluation])
def test_garbage_of_the_parent_is_not_collected_in_a_worker(loader):
    assert next(iter(loader()))
