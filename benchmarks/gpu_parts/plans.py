"""Peak memory of training steps of every task: predicted by `plan` on the CPU, and measured on the GPU.

The predictions take about as long as all measurements of the GPU, so they are made at the same time, by another
process.
"""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness.figure import Figure
from benchmarks.harness.resident_peak import peak_growth
from benchmarks.harness.side_by_side import MIB
from benchmarks.plan_memory import CASES, CONFIG, IN1K, predict, train_steps
from eva_engine.atomic import atomic_path

from .bench import Bench, free_memory
from .contenders import measure_once
from .detector_models import EVA02


def _recipe(path: str, samples: int) -> tuple[str, list[str]]:
    return path, [f"dataloader.train.total_batch_size={samples}", "train.amp.dtype=bfloat16"]


PLANNED = {
    "classifier ViT-g, 336 px, 8 images": _recipe(IN1K, 8),
    "EVA-CLIP g/14, 64 pairs": _recipe("projects/CLIP/configs/eva_clip_g14.py", 64),
    "video classifier ViT-g, 2 clips": _recipe("projects/Video/configs/kinetics400.py", 2),
    "detector EVA-02-L, 1024 px": _recipe(f"{EVA02}4attn_1024_lrd0p8.py", 1),
    "detector ViT-g, 1280 px": _recipe(CONFIG, 1),
    "segmentation ViT-g, 896 px": _recipe("projects/SemSeg/configs/ade20k_9dec_ss.py", 1),
}
TINY_PLANNED = {name: CASES[name] for name in ("classification", "video, 2 parts")}


def planned(tiny: bool) -> dict[str, tuple[str, list[str]]]:
    """Return the recipes and their overrides by the names of the cases."""
    return TINY_PLANNED if tiny else PLANNED


def write_predictions(path: Path, tiny: bool) -> None:
    """Predict the peak of every recipe in bytes, and save each in a JSON file when it is there."""
    peaks: dict[str, int] = {}
    for name, recipe in planned(tiny).items():
        try:
            peaks[name] = predict(*recipe)
        except Exception as error:  # whatever its reason: the others are predicted
            print(f"no prediction of {name}: {error}", file=sys.stderr, flush=True)
        with atomic_path(path) as file:
            file.write_text(json.dumps(peaks), encoding="utf-8")


def run(bench: Bench, predictions: Path) -> None:
    """Measure the peak of every recipe for which there is a prediction."""
    predicted = json.loads(predictions.read_text(encoding="utf-8")) if predictions.exists() else {}
    for name, recipe in planned(bench.tiny).items():
        if name not in predicted:
            bench.skip(name, "the prediction was not finished or failed")
            continue
        free_memory()
        measured = bench.attempt(name, partial(_peak, bench, *recipe))
        if measured is not None:
            peaks = predicted[name] / MIB, "measured", measured / MIB
            bench.record(Figure(name, "peak memory, predicted", "MiB", *peaks, relation="error", dtype="bfloat16"))


def _peak(bench: Bench, config: str, overrides: Sequence[str]) -> int:
    """Return the peak of two training steps in bytes, weights and optimizer state included."""
    if bench.device == "cuda":
        return measure_once("cuda", lambda: train_steps(config, list(overrides))).peak_bytes or 0
    return peak_growth(lambda: train_steps(config, list(overrides)))
