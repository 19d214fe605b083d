"""The process in which one variant is measured: it loads the model, and predicts when it is asked to.

    python -m eva_deploy.benchmark.measuring_process SPECIFICATION

Each line that it reads asks for a round; each line that it writes is a JSON document. All other output goes to stderr.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from eva_backbone.errors import InputError


def peak_bytes() -> int:
    """Return the peak resident memory of this process; `ru_maxrss` would include that of the one that started it."""
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main() -> None:
    """Measure as standard input says."""
    # Packages that print must not disturb the documents.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        _measure(json.loads(sys.argv[1]), answers)
    except InputError as error:
        _answer(answers, {"problem": str(error)})


def _measure(given: dict[str, Any], answers: TextIO) -> None:
    from eva_engine.commands.import_time import defer_slow_imports
    from eva_engine.foreign_warnings import silence_foreign_warnings

    silence_foreign_warnings()
    defer_slow_imports()
    from eva_engine.prediction.inputs import Input
    from eva_engine.prediction.load_predictor import build_predictor, load_recipe

    start = time.perf_counter()
    recipe = load_recipe(given["weights"], given["config_file"], given["overrides"], given["trusted"])
    predictor = build_predictor(recipe, given["weights"], given["device"], given["options"], given["is_compiled"])
    load_seconds = time.perf_counter() - start
    inputs = [Input(Path(path), kind, Path(path).stem) for path, kind in given["inputs"]]
    start = time.perf_counter()
    predictor.predict([predictor.read(inputs[0])])
    _answer(answers, {"load": load_seconds, "first": time.perf_counter() - start})
    for item in inputs[1:]:  # images of other sizes may compile, too
        predictor.predict([predictor.read(item)])
    for _ in sys.stdin:
        seconds, processor, round_start = [], 0.0, time.perf_counter()
        for item in inputs:
            sample = predictor.read(item)
            start, processor_start = time.perf_counter(), time.process_time()
            predictor.predict([sample])
            seconds.append(time.perf_counter() - start)
            processor += time.process_time() - processor_start
        total = time.perf_counter() - round_start
        _answer(answers, {"seconds": seconds, "processor": processor, "total": total, "peak": peak_bytes()})


def _answer(answers: TextIO, document: dict[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
