"""Training steps of the detection backbones under autocast in bfloat16, with activation checkpointing."""

from typing import Any

import torch
from torch import nn

from benchmarks.harness.matrix_rate import forward_operations

from .backbones import PEER
from .bench import Bench
from .contenders import Amount, Run, compare
from .detector_models import (
    RECIPES,
    TINY_SIDE,
    build_own,
    build_stock,
    checkpoint_stock,
    compile_blocks,
    load_recipe,
    on_device,
)
from .gradients import with_gradients

SIDES = {"ViT-g": 1280, "EVA-02-L": 1536}  # those of the recipes


def run(bench: Bench) -> None:
    """Measure a step of each backbone at the size that it is trained with."""
    for name in RECIPES:
        side = TINY_SIDE if bench.tiny else SIDES[name]
        overrides = ["model.backbone.net.use_act_checkpoint=True"]
        options = load_recipe(name, side, bench.tiny, overrides).model.backbone.net
        _measure(bench, f"{name} backbone, training step, {side} px", options)


def _measure(bench: Bench, title: str, options: Any) -> None:
    side = options["img_size"]
    # Backward takes twice the arithmetic of forward. What checkpointing computes again does not count as progress.
    operations = 3 * forward_operations(lambda: build_own(options, "eager"), 1, 3, side, side)
    pixels = torch.randn(1, 3, side, side, device=bench.device)

    def step(model: nn.Module) -> Run:
        with_gradients(model.train())

        def run_step() -> None:
            with torch.autocast(bench.device, torch.bfloat16):
                features = model(pixels)["last_feat"]
            features.float().square().mean().backward()

        return run_step

    def stock() -> Run:
        return step(checkpoint_stock(on_device(bench.device, lambda: build_stock(options))))

    def ours(compiled: bool) -> Run:
        model = on_device(bench.device, lambda: build_own(options))
        return step(compile_blocks(model, bench.tiny) if compiled else model)

    contenders = {PEER: stock, "ours": lambda: ours(False), "ours, compiled": lambda: ours(True)}
    compare(bench, title, PEER, contenders, Amount(operations=operations))
