"""Options and fixtures of the whole suite."""

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


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
