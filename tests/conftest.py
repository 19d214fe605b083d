"""Options and fixtures of the whole suite."""

from pathlib import Path

import pytest
import torch

GOLDEN_DIR = Path(__file__).parent / "data" / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=GOLDEN_DIR,
        help="directory with detection/, classification/, ... of numerical cases (default: tests/data/golden)",
    )


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
