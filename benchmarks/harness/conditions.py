"""Conditions under which figures were measured: date, machine, load by other programs, versions."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path

import torch

from .matrix_rate import cpu_matrix_rate

PACKAGES = (
    *("torch", "torchvision", "timm", "detectron2", "open_clip", "transformers"),
    *("pycocotools", "hotcoco", "fairscale", "decord", "av"),
)


# Conditions that every table states, even if they are the same for all.
OWN = ("date", "other programs", "matrix products")


def conditions(others: float | None = None) -> dict[str, str]:
    """Return the conditions by name, in the order in which they are shown, and measure the rate of matrix products.

    Args:
        others: Average number of cores that other programs kept busy during the measurement; None if not known.
    """
    distributions = packages_distributions()
    versions = {name: version(distributions[name][0]) for name in PACKAGES if name in distributions}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        **({} if others is None else {"other programs": f"{max(others, 0):.1f} cores"}),
        "matrix products": _matrix_rates(),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "bfloat16": _bfloat16_instructions(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "GPU": f"{torch.cuda.get_device_name()}: not used" if torch.cuda.is_available() else "no GPU: not run",
        "Python": platform.python_version(),
        **{name: versions.get(name, "not installed") for name in PACKAGES},
    }


def others_seconds() -> float:
    """Return the processor time so far of all programs except this process and its finished children. Linux only."""
    user, nice, system, _idle, _waiting, *interrupts = map(
        int, Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    )
    busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


def _matrix_rates() -> str:
    """Return the rates of this moment, in operations per second of processor time: those of one core."""
    rates = {name: cpu_matrix_rate(getattr(torch, name)) / 1e9 for name in ("float32", "bfloat16")}
    return " and ".join(f"{rate:.0f} in {name}" for name, rate in rates.items()) + " GFLOP/s per core"


def _processor() -> str:
    return _cpu_info("model name") or platform.machine()


def _bfloat16_instructions() -> str:
    flags = _cpu_info("flags").split()
    for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512_BF16, no AMX")):
        if flag in flags:
            return name
    return "no instructions for it"


def _cpu_info(key: str) -> str:
    """Return an entry of the first core, or "" if the machine does not report it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith(key)), "")
