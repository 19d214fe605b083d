"""Make the small models of other tests importable, for the tests of compiled blocks."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path += [
    *(str(TESTS / "eva_engine" / name) for name in ("memory", "training/adaptation")),
    *(str(TESTS / name) for name in ("tools", "eva_classification")),
]
