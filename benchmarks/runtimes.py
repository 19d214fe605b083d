"""Runtimes on the CPU in turn: PyTorch, compiled blocks, ONNX Runtime, and OpenVINO in float32, bfloat16 and 8 bits.

Two models: the backbone and the pyramid of EVA-02-B's detector at 1024 pixels with random weights, and the detector of
`make demo`, which is trained first unless --demo names its folder. Of the backbone, each call is in a process of its
own, whose first call is not counted; --depth 3 has two windowed blocks and a global one, a quarter of the model's. The
demo's detector is measured by `python -m tools benchmark`, with its AP on the held-out tiles.

Peer is always PyTorch in float32. The times are those of the processor, because other programs influence them less.

    python -m benchmarks.runtimes [--rounds 3] [--side 1024] [--depth 12] [--demo output/demo] [--only backbone]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .harness.figure import Figure, record

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "projects/ViTDet/configs/eva2_mim_to_coco/eva2_coco_cascade_mask_rcnn_vitdet_b_4attn_1024_lrd0p7.py"
# Environment variable with the folder of the exported files and of settings.json, for the measuring processes.
FOLDER = "EVA_BENCHMARK_RUNTIMES"
PEER = "torch float32"
# Of the backbone: name of the figure and function of this module.
BACKBONE = {
    PEER: "run_torch",
    "compile float32": "run_compiled",
    "onnx float32": "run_onnx",
    "openvino float32": "run_openvino",
    "openvino bfloat16": "run_openvino_bfloat16",
    "openvino int8": "run_openvino_int8",
}


class Maps(nn.Module):
    """A backbone that returns the maps of its pyramid as a tuple."""

    backbone: Any

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.backbone(images).values())


def build(side: int, depth: int) -> tuple[Maps, Tensor]:
    """Return the backbone with random weights, and an image."""
    from eva_engine.config import load_config
    from eva_engine.config.instantiation import instantiate

    cfg = load_config(str(RECIPE))
    cfg.model.backbone.square_pad = side
    cfg.model.backbone.net.update(img_size=side, depth=depth)
    # As in the recipe, every third block is global.
    cfg.model.backbone.net.window_block_indexes = [block for block in range(depth) if block % 3 < 2]
    torch.manual_seed(0)
    return Maps(instantiate(cfg.model.backbone)).eval(), torch.randn(1, 3, side, side)


def _built() -> tuple[Maps, Tensor]:
    return build(**json.loads(Path(os.environ[FOLDER], "settings.json").read_text()))


def run_torch() -> Callable[[], object]:
    model, image = _built()
    return torch.inference_mode()(lambda: model(image))


def run_compiled() -> Callable[[], object]:
    from eva_engine.compilation import compile_for_prediction

    model, image = _built()
    compile_for_prediction(model, "cpu")
    return torch.inference_mode()(lambda: model(image))


def run_onnx() -> Callable[[], object]:
    return _run("float32.onnx")


def run_openvino() -> Callable[[], object]:
    return _run("float32.xml")


def run_openvino_bfloat16() -> Callable[[], object]:
    return _run("bfloat16.xml")


def run_openvino_int8() -> Callable[[], object]:
    return _run("int8.xml")


def _run(name: str) -> Callable[[], object]:
    from eva_deploy.formats.table import load_graph, read_metadata

    folder = Path(os.environ[FOLDER])
    side = json.loads((folder / "settings.json").read_text())["side"]
    image = torch.randn(1, 3, side, side).numpy()
    run = load_graph(folder / name, read_metadata(folder / name), "cpu")
    return lambda: run([image])


def export(folder: Path, side: int, depth: int) -> None:
    """Write the backbone as float32.onnx, float32.xml, bfloat16.xml and int8.xml, and print how far each differs."""
    import openvino

    from eva_deploy.formats.onnx_format import write_onnx
    from eva_deploy.formats.openvino_format import write_openvino
    from eva_deploy.formats.table import load_graph, read_metadata
    from eva_deploy.graph import ExportGraph, GraphInput
    from eva_deploy.metadata import Metadata
    from eva_deploy.quantization import quantize_file
    from eva_deploy.tracing import trace

    model, image = build(side, depth)
    outputs = tuple(f"map{number}" for number in range(len(model.backbone.output_shape())))
    graph = ExportGraph("backbone", model, (GraphInput("images", (1, 3, side, side)),), outputs, (image,))

    def metadata(format_name: str, dtype: str) -> Metadata:
        description: dict[str, Any] = {graph.name: graph.description}
        return Metadata("detection", format_name, dtype, graph.name, description, (), {}, "", "", {})

    onnx = folder / "float32.onnx"
    write_onnx(trace(graph), graph, metadata("onnx", "float32"), onnx)
    converted = openvino.convert_model(onnx)
    for dtype in ("float32", "bfloat16", "int8"):
        write_openvino(converted, metadata("openvino", dtype), folder / f"{dtype}.xml", compress_to_fp16=False)
    quantize_file(folder / "int8.xml", [[image.numpy()]])
    with torch.inference_mode():
        expected = torch.cat([level.flatten() for level in model(image)])
    for name in ("float32.onnx", "float32.xml", "bfloat16.xml", "int8.xml"):
        found = load_graph(folder / name, read_metadata(folder / name), "cpu")([image.numpy()])
        maps = torch.cat([torch.from_numpy(level).flatten() for level in found.values()])
        difference = 100 * float((maps - expected).norm() / expected.norm())
        print(f"{name}: difference of the maps {difference:.2g} %", flush=True)


def measure_backbone(side: int, depth: int, rounds: int) -> None:
    """Export the backbone, measure every runtime in turn, print and record the figures."""
    seconds: dict[str, list[float]] = {name: [] for name in BACKBONE}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "settings.json").write_text(json.dumps({"side": side, "depth": depth}))
        _python("-c", f"from benchmarks.runtimes import *; export(Path({folder!r}), {side}, {depth})")
        for _ in range(rounds):
            for name, function in BACKBONE.items():
                printed = _python(
                    *("-m", "benchmarks.harness.side_by_side", "benchmarks.runtimes", function, "3"),
                    environment={FOLDER: folder},
                )
                samples = json.loads(printed.splitlines()[-1])["samples"]
                seconds[name].append(min(processor for _, processor, _ in samples[1:]))
                print(f"  {name}: {seconds[name][-1]:.2f} processor s", flush=True)
    blocks = "" if depth == 12 else f", {depth} of 12 blocks"
    theirs = statistics.median(seconds.pop(PEER))
    for name, of_runtime in seconds.items():
        ours = statistics.median(of_runtime)
        print(f"{name}: {ours:.2f} processor s, {PEER} {theirs:.2f}, {theirs / ours:.2f}x", flush=True)
        record(
            Figure(f"EVA-02-B's backbone, {side} px{blocks}, {name}", "processor time", "s", ours, PEER, theirs),
        )


def measure_demo(folder: Path, rounds: int) -> None:
    """Measure the trained detector in `folder` and record the figures."""
    tiles = str(folder / "data/fluo_hela_heldout")
    document = folder / "runtimes.json"
    _tools(
        *("benchmark", "--weights", str(folder), "--formats", "torch,compile,onnx,openvino"),
        *("--dtype", "float32,bfloat16,int8", "--calibration", str(folder / "data/fluo_hela_train"), "--images", tiles),
        *("--num-images", "16", "--rounds", str(3 * rounds), "--evaluate", "--json", str(document)),
    )
    measured = {f"{found['format']} {found['dtype']}": found for found in json.loads(document.read_text())["variants"]}
    of_peer = measured[PEER]
    for name, found in measured.items():
        if "problem" in found:
            print(f"{name}: {found['problem']}")
            continue
        title = f"the demo's detector, {name}"
        ours, theirs = found["processor_seconds"], of_peer["processor_seconds"]
        if name != PEER:
            record(Figure(title, "processor time", "s", ours, PEER, theirs))
        record(Figure(title, "peak memory", "GB", found["peak_bytes"] / 1e9, PEER, of_peer["peak_bytes"] / 1e9))
        for metric, value in found["metrics"].items():
            kind = {"bbox AP": "box AP", "segm AP": "mask AP"}[metric]
            record(Figure(title, kind, "AP", value, relation=""))
        print(f"{title}: {1000 * ours:.1f} processor ms, {theirs / ours:.2f}x, {found['metrics']}", flush=True)


def _python(*words: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-W", "ignore", *words]
    variables = os.environ | (environment or {})
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=variables)
    print(done.stdout if environment is None else "", end="", flush=True)
    return done.stdout


def _tools(*words: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-m", "tools", *words], check=True, cwd=ROOT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=1024, help="pixels, default: %(default)s")
    parser.add_argument("--depth", type=int, default=12, help="blocks of the backbone, default: %(default)s")
    parser.add_argument("--demo", type=Path, help="output of `make demo`; by default the demo is run first")
    parser.add_argument("--only", choices=("backbone", "demo"), help="default: both")
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if args.only != "demo":
        measure_backbone(args.side, args.depth, args.rounds)
    if args.only == "backbone":
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.demo is None:
            _tools("demo-detection", "--output", folder)
        measure_demo((args.demo or Path(folder)).resolve(), args.rounds)


if __name__ == "__main__":
    main()
