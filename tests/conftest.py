"""Options and fixtures of the whole suite."""

import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import torch

GOLDEN_DIR = Path(__file__).parent / "data" / "golden"
LONGEST = ("tests/tools/", "tests/eva_engine/memory/", "tests/golden/")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=GOLDEN_DIR,
        help="directory with numerical cases in detection/, classification/, ... (default: tests/data/golden)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Complete runs take longest. They start first, so that no process runs them alone at the end.
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_configure() -> None:
    # Processes that tests start print their stacks when they are aborted. Forked ones inherit this from pytest.
    os.environ.setdefault("PYTHONFAULTHANDLER", "1")


def pytest_exception_interact(call: pytest.CallInfo) -> None:
    """Abort the processes that a test has started if it exceeded its time limit, so that they print their stacks."""
    if call.excinfo is not None and str(call.excinfo.value).startswith("Timeout (>"):
        _abort_children(os.getpid())


def _abort_children(process: int) -> None:
    for file in Path(f"/proc/{process}/task").glob("*/children"):  # exists on Linux only
        for child in file.read_text().split():
            _abort_children(int(child))
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGABRT)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _default_logging() -> None:
    """Undo what a run or a package in an earlier test of this process did to the loggers."""
    logging.getLogger().setLevel(logging.WARNING)
    for name, logger in logging.Logger.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.startswith(("eva_", "detectron2", "fvcore")):
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()
