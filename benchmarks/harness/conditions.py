"""Under what conditions figures were measured: date, machine, versions."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import packages_distributions, version
from pathlib import Path

import torch

PACKAGES = ("torch", "torchvision", "timm", "detectron2", "open_clip", "transformers", "pycocotools", "hotcoco")
PACKAGES += ("fairscale", "decord", "av")


def conditions() -> dict[str, str]:
    """By name, in the order in which they are shown."""
    distributions = packages_distributions()
    versions = {name: version(distributions[name][0]) for name in PACKAGES if name in distributions}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "GPU": f"{torch.cuda.get_device_name()}: not used" if torch.cuda.is_available() else "no GPU: not run",
        "Python": platform.python_version(),
        **{name: versions.get(name, "not installed") for name in PACKAGES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
