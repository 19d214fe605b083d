"""Runs every case below --golden-dir; the check is found from the case's own spec."""

import pytest

from . import families  # noqa: F401  (registers the checks)
from .case import GoldenCase


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    directory = metafunc.config.getoption("--golden-dir")
    paths = sorted(path for end in ("npz", "json.gz") for path in directory.glob(f"*/*.{end}"))
    if not paths:
        raise pytest.UsageError(
            f"--golden-dir {directory} holds no <task>/<case>.npz or .json.gz; expected detection/, video/, ..."
        )
    metafunc.parametrize("path", paths, ids=[f"{path.parent.name}/{GoldenCase(path).stem}" for path in paths])


def test_golden(path) -> None:
    case = GoldenCase(path)
    case.find_check()(case)
