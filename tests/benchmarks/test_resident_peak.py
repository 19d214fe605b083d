"""The peak of the resident set, also where pages of files are reclaimed during the measurement."""

import mmap
import sys
from pathlib import Path

import pytest

from benchmarks.harness.resident_peak import peak_growth

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MIB = 2**20


def test_memory_that_is_freed_again_counts():
    def run() -> None:
        block = bytearray(64 * MIB)
        block[::4096] = b"1" * len(block[::4096])

    assert 63 * MIB < peak_growth(run) < 70 * MIB


def test_reclaimed_pages_of_files_do_not_lower_the_peak(tmp_path: Path):
    (tmp_path / "library").write_bytes(b"1" * 64 * MIB)
    with (tmp_path / "library").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) > 0  # all pages are resident

        def run() -> None:
            mapped.madvise(mmap.MADV_DONTNEED)
            block = bytearray(64 * MIB)
            block[::4096] = b"1" * len(block[::4096])

        assert 63 * MIB < peak_growth(run) < 70 * MIB
