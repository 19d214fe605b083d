"""Building the 1.07-billion-parameter detector and loading a 4.3 GB float32 file, Detectron2's way and ours.

Both build the model of the same config on the CPU, load the same file, which is in the page cache, and then read one
number of every page of every parameter, so that memory that was only reserved or mapped counts, too. Detectron2's way
is to run the initialisers and then its DetectionCheckpointer.

    python -m benchmarks.build_and_load [--rounds 3]
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from .harness.side_by_side import MIB, compare

CONFIG = Path(__file__).parents[1] / "projects/ViTDet/configs/common/models/cascade_mask_rcnn_vitdet_eva.py"
WEIGHTS = "EVA_BENCHMARK_WEIGHTS"  # environment variable that passes the file name to the measured processes
PAGE = 1024  # float32 numbers


def _builder() -> Callable[[], nn.Module]:
    import logging

    from detectron2.config import LazyConfig, instantiate

    logging.disable()
    config = LazyConfig.load(str(CONFIG)).model
    return lambda: instantiate(config)


def _touch(model: nn.Module) -> nn.Module:
    for parameter in model.parameters():
        parameter.detach().view(-1)[::PAGE].sum()
    return model


def detectron2() -> Callable[[], object]:
    from detectron2.checkpoint import DetectionCheckpointer

    build = _builder()

    def run() -> object:
        model = build()
        DetectionCheckpointer(model).load(os.environ[WEIGHTS])
        return _touch(model)

    return run


def ours() -> Callable[[], object]:
    from eva_engine.checkpoint import build_and_load

    build = _builder()
    return lambda: _touch(build_and_load(build, os.environ[WEIGHTS])[0])


def write_weights(path: Path) -> int:
    """Write random weights of the whole model to `path`; return their size in bytes."""
    with torch.device("meta"):
        model = _builder()()
    state = {name: torch.empty(value.shape).uniform_(-0.02, 0.02) for name, value in model.state_dict().items()}
    torch.save({"model": state}, path)
    return sum(value.nbytes for value in state.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "detector.pth")
        size = write_weights(path)
        os.environ[WEIGHTS] = str(path)
        print(f"file of {size / MIB:.0f} MiB of weights, {torch.get_num_threads()} threads")
        medians = compare(
            "benchmarks.build_and_load",
            "build and load",
            "detectron2",
            "ours",
            rounds,
            against="Detectron2",
            quantities=("time", "processor time", "memory"),
        )
    for name, median in zip(("detectron2", "ours"), medians, strict=True):
        print(f"  {name:<10} peak memory {median.peak_bytes / size:.2f}x the model")


if __name__ == "__main__":
    main()
