"""The figures of all variants as a table for people and as a JSON document."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from eva_engine.text_layout import align_columns

from .variant import Figures, Variant, quartiles

_PACKAGES = ("torch", "onnxruntime", "openvino")


def figures_table(figures: Mapping[Variant, Figures]) -> list[str]:
    """Return the lines of a table with a row per variant; its ratios are those to the first variant."""
    header = ["format", "latency (quartiles)", "photos/s", "processor", "first", "memory", "speed", "accuracy"]
    rows = [header]
    problems = []
    first = next(iter(figures.values()))
    for variant, of_variant in figures.items():
        if of_variant.problem:
            problems.append(f"{variant}: not measured: {of_variant.problem}")
            continue
        low, median, high = (1000 * seconds for seconds in quartiles(of_variant.latencies))
        speed = ""
        if not first.problem:
            speed = f"{of_variant.faster_than(first):.2f}x, {of_variant.cheaper_than(first):.2f}x"
        rows.append(
            [
                str(variant),
                f"{median:.1f} ms ({low:.1f} to {high:.1f})",
                f"{of_variant.photos_per_second:.2f}",
                f"{1000 * of_variant.processor_seconds:.1f} ms",
                f"{of_variant.first_seconds:.1f} s",
                f"{of_variant.peak_bytes / 2**20:.0f} MiB",
                speed,
                _accuracy(of_variant, first),
            ]
        )
    return [*align_columns(rows), *problems]


def _accuracy(figures: Figures, first: Figures) -> str:
    """Return the metrics of a variant, each with its difference from that of the first variant."""
    metrics = []
    for name, value in figures.metrics.items():
        text = f"{name} {value:.2f}"
        if figures is not first and name in first.metrics:
            text += f" ({value - first.metrics[name]:+.2f})"
        metrics.append(text)
    return ", ".join(metrics)


def figures_document(figures: Mapping[Variant, Figures], **about: Any) -> dict[str, Any]:
    """Return the figures for JSON, with the machine and the versions."""
    first = next(iter(figures.values()))
    variants = []
    for variant, found in figures.items():
        document = {"format": variant.format, "dtype": variant.dtype, **found.to_dict()}
        if not found.problem and not first.problem:
            document["speed"] = {"time": found.faster_than(first), "processor_time": found.cheaper_than(first)}
        variants.append(document)
    return {**about, "machine": _machine(), "variants": variants}


def _machine() -> dict[str, Any]:
    import torch

    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
