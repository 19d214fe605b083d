"""Forked processes collect no garbage of their parent, and loaders do not wait for ever."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import pytest
import torch
from detectron2.data import build_detection_test_loader

from eva_backbone.errors import InputError
from eva_engine.data import build_train_loader, worker_failure
from eva_engine.data.eval_loader import EvalLoader

PARENT = os.getpid()
RECORDS = [{"file_name": str(number), "width": 4, "height": 4} for number in range(4)]


class Threaded:
    """An object whose destructor would wait for threads that a forked process does not have."""

    def __del__(self) -> None:
        if os.getpid() != PARENT:
            os._exit(3)


@pytest.fixture
def garbage_in_a_cycle() -> Iterator[None]:
    gc.collect()
    gc.disable()
    garbage = Threaded()
    garbage.own = garbage
    del garbage
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def collecting_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch seeds a worker before anything of ours runs there; that can start a collection."""
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda number: (gc.collect(), seed(number))[1])


def collecting(record: dict) -> dict:
    gc.collect()
    return record


def training(mapper=collecting, **options) -> Iterable:
    return build_train_loader(RECORDS, mapper=mapper, total_batch_size=2, num_workers=1, **options)


def evaluation(mapper=collecting, **options) -> Iterable:
    return EvalLoader(RECORDS, mapper=mapper, num_workers=1, **options)


def detection_evaluation() -> Iterable:
    return build_detection_test_loader(RECORDS, mapper=collecting, num_workers=1)


@pytest.mark.parametrize("loader", [training, evaluation, detection_evaluation])
@pytest.mark.usefixtures("garbage_in_a_cycle", "collecting_at_the_start")
def test_garbage_of_the_parent_is_not_collected_in_a_worker(loader):
    assert next(iter(loader()))


FORKING = """
import gc, os
import eva_engine.data.workers

parent = os.getpid()

class Threaded:
    def __del__(self):
        if os.getpid() != parent:
            os._exit(3)

gc.disable()
garbage = Threaded()
garbage.own = garbage
del garbage
child = os.fork()
if child == 0:
    gc.collect()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_nor_in_any_other_forked_process():
    # In a process of its own, because other libraries' threads in this one may not survive a fork.
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("garbage_in_a_cycle")
def test_the_parent_collects_its_garbage_after_a_fork():
    next(iter(training()))
    assert gc.get_freeze_count() == 0
    assert gc.collect() > 0


def sleep_for_ever(_: dict) -> dict:
    time.sleep(3600)
    return {}


@pytest.mark.parametrize("loader", [training, evaluation])
def test_workers_that_deliver_nothing(loader):
    with pytest.raises((InputError, RuntimeError)) as error:
        next(iter(loader(sleep_for_ever, timeout=1)))
    failure = error.value if loader is training else worker_failure(error.value)
    assert isinstance(failure, InputError)
    assert str(failure).startswith("The processes that load data have delivered nothing for 1 seconds; ")


@pytest.mark.parametrize("options", [{"num_workers": -1}, {"timeout": -1.0}, {"timeout": float("nan")}])
def test_impossible_options(options):
    with pytest.raises(InputError, match="of a loader must be 0 or more"):
        EvalLoader(RECORDS, mapper=collecting, **options)
