"""Detection in one image by complete detectors in bfloat16, with stock Detectron2's ViT and with ours."""

from functools import partial
from typing import Any

import torch

from .bench import Bench
from .contenders import Amount, Run, compare
from .detector_models import RECIPES, build_stock, compile_blocks, load_recipe, on_device, sides

PEER = "with stock Detectron2's ViT"
# Random weights give low scores; without a threshold the model returns the maximum of 100 detections.
THRESHOLDS = [f"model.roi_heads.box_predictors.{stage}.test_score_thresh=0.0" for stage in range(3)]


def run(bench: Bench) -> None:
    """Measure every size, first without compilation, which takes little time, then with it."""
    cases = {}
    for side in sides(bench.tiny):
        for name in RECIPES:
            cases[f"{name} detector, {side} px"] = load_recipe(name, side, bench.tiny, THRESHOLDS)
    theirs = {}
    for title, cfg in cases.items():
        contenders = {PEER: partial(_detector, bench, cfg, stock=True), "ours": partial(_detector, bench, cfg)}
        theirs[title] = compare(bench, title, PEER, contenders, Amount())
    for title, cfg in cases.items():
        contenders = {"ours, compiled": partial(_detector, bench, cfg, compiled=True)}
        compare(bench, title, PEER, contenders, Amount(), theirs[title])


def _detector(bench: Bench, cfg: Any, stock: bool = False, compiled: bool = False) -> Run:
    from detectron2.config import instantiate

    side = cfg.model.backbone.square_pad
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, device=bench.device)
    batch = [{"image": image, "height": side, "width": side}]

    model: Any = on_device(bench.device, lambda: instantiate(cfg.model)).eval()
    if stock:
        model.backbone.net = on_device(bench.device, lambda: build_stock(cfg.model.backbone.net)).eval()
    model.backbone.net.to(torch.bfloat16)
    if compiled:
        compile_blocks(model.backbone.net, bench.tiny)

    @torch.inference_mode()
    def detect() -> object:
        with torch.autocast(bench.device, torch.bfloat16):
            return model(batch)

    return detect
