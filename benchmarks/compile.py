"""Compiled blocks (`train.compile`) against uncompiled ones, in one process.

Blocks of EVA-02-B on two images of 224 pixels, float32 on the CPU: the time of the first step, which includes the
compilation, then training steps and forward passes of both in turn. The number of compiled programs is counted for one
image size and for six, with stochastic depth.

With a GPU, also the two kernels for decomposed relative positions there, as one block of the giant backbone calls them:
folded into the heads (88 -> 248 columns on 80 x 80 tokens), and FlexAttention. A faster FlexAttention would become the
default by `CUDA_DECOMPOSED` in `eva_backbone/attention_kernels.py`.

    python -m benchmarks.compile [--rounds 5] [--depth 4]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import torch

from eva_backbone import VisionTransformer, create_backbone
from eva_backbone.attention_kernels import KERNELS
from eva_backbone.relative_position import DecomposedBias
from eva_engine import compilation

from .harness.figure import Figure, record

SIZES = ((224, 224), (196, 224), (168, 224), (224, 168), (182, 210), (196, 182))  # height, width
GRID, HEADS, HEAD_DIM = 80, 16, 88

Measured = tuple[float, float]  # wall seconds, processor seconds


def measure(run: Callable[[], object]) -> Measured:
    """Return the time of one call, with the processor time of the compilers that it starts."""
    start, cpu_start = time.perf_counter(), _processor_seconds()
    run()
    return time.perf_counter() - start, _processor_seconds() - cpu_start


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def medians(samples: list[Measured]) -> Measured:
    wall, processor = zip(*samples, strict=True)
    return statistics.median(wall), statistics.median(processor)


def report(title: str, ours: Measured, theirs: Measured, peer: str) -> None:
    print(
        f"{title}: {ours[0]:.3f} s ({ours[1]:.3f} processor s), {peer}: {theirs[0]:.3f} s ({theirs[1]:.3f})", flush=True
    )
    record(
        Figure(title, "time", "s", ours[0], peer, theirs[0]),
        Figure(title, "processor time", "s", ours[1], peer, theirs[1]),
    )


def make_model(depth: int, drop_path_rate: float = 0.0) -> VisionTransformer:
    torch.manual_seed(0)
    return create_backbone("eva02_base", img_size=224, depth=depth, drop_path_rate=drop_path_rate).train()


def step(model: VisionTransformer, pixels: torch.Tensor) -> None:
    model(pixels).square().mean().backward()


def forward(model: VisionTransformer, pixels: torch.Tensor) -> None:
    with torch.no_grad():
        model.eval()(pixels)


def compare(title: str, run: Callable[..., None], depth: int, rounds: int) -> None:
    """Measure the first call, which compiles, and the later ones."""
    model, pixels = make_model(depth), torch.randn(2, 3, 224, 224)
    run(model, pixels)  # allocates memory, and starts the threads
    before = measure(lambda: run(model, pixels))
    compilation.compile_blocks(model, "this benchmark")
    report(f"{title}, the first one", measure(lambda: run(model, pixels)), before, "uncompiled")
    compiled, plain = [], []
    for _ in range(rounds):
        with compilation.uncompiled(model):
            plain.append(measure(lambda: run(model, pixels)))
        compiled.append(measure(lambda: run(model, pixels)))
    report(title, medians(compiled), medians(plain), "uncompiled")


def count_programs(depth: int) -> None:
    """Count what images of other sizes compile, without generating code for it."""
    count = 0

    def counting(program: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable:
        nonlocal count
        count += 1
        return program.forward

    torch._dynamo.reset()
    compilation.BACKEND = counting
    model = make_model(depth, drop_path_rate=0.1)
    compilation.compile_blocks(model, "this benchmark")
    for number, (height, width) in enumerate(SIZES, start=1):
        step(model, torch.randn(2, 3, height, width))
        print(f"after {number} image sizes: {count} programs for {depth} blocks", flush=True)
        if number in (1, len(SIZES)):
            record(Figure(f"{depth} blocks, image sizes in training: {number}", "compiled programs", "", count))


def compare_kernels(rounds: int) -> None:
    """Measure attention over 80 x 80 tokens of two images with a decomposed bias, in bfloat16, on the GPU."""
    shapes = [(2, HEADS, GRID**2, HEAD_DIM)] * 3 + [(2, HEADS, GRID**2, GRID)] * 2
    inputs = [torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True) for shape in shapes]

    def attend(name: str, is_training: bool) -> None:
        query, key, value, rel_h, rel_w = inputs
        out = KERNELS[name](query, key, value, HEAD_DIM**-0.5, DecomposedBias(rel_h, rel_w))
        if is_training:
            out.float().square().mean().backward()
        torch.cuda.synchronize()

    for title, is_training in (("forward", False), ("forward and backward", True)):
        samples: dict[str, list[Measured]] = {"flex": [], "sdpa": []}
        for name in samples:
            attend(name, is_training)  # compiles
        for _ in range(10 * rounds):
            for name, times in samples.items():
                times.append(measure(partial(attend, name, is_training)))
        report(f"CUDA, decomposed, flex, {title}", medians(samples["flex"]), medians(samples["sdpa"]), "folded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--depth", type=int, default=4, help="number of blocks")
    args = parser.parse_args()
    torch.set_num_threads(2)
    # In an empty cache and in this process, so that the time of the first call is all that compiling takes.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        compare("training step", step, args.depth, args.rounds)
        compare("forward pass", forward, args.depth, args.rounds)
    count_programs(args.depth)
    if torch.cuda.is_available():
        compare_kernels(args.rounds)


if __name__ == "__main__":
    main()
