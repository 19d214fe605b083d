"""Learning-rate and weight-decay schedules of classification, EVA-02-CLIP, UperNet and video."""

import numpy as np

from eva_engine.training.optimization import IterationSchedule, WarmupCosine
from eva_semseg.schedule import WarmupPolynomial
from eva_video.schedule import LaggedWarmupCosine

from ..case import GoldenCase, family
from .parameter_groups import check_video_groups

SHAPES = {"cos": "cosine", "linear": "linear"}


@family("schedules", "eva02_schedules")
def check_schedules(case: GoldenCase) -> None:
    for name, settings in case.spec["schedules"].items():
        schedule = build_schedule(settings)
        steps, expected = case.arrays[f"{name}_steps"], case.arrays[f"{name}_values"]
        base, total = settings.get("base_value", settings.get("lr")), settings["total"]
        found = [base * schedule(step / total) for step in steps]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * base, err_msg=name)


def build_schedule(settings: dict) -> IterationSchedule:
    rule = settings.get("rule", "classification")
    if rule == "clip":
        return WarmupCosine(settings["total"], settings["warmup"], start=1 / settings["warmup"])
    if rule == "upernet":
        return WarmupPolynomial(
            settings["total"], settings["warmup"], start=settings["warmup_ratio"], power=settings["power"]
        )
    assert rule == "classification"
    warmup_iters = settings.get("warmup_steps", -1)
    if warmup_iters <= 0:
        warmup_iters = int(settings.get("warmup_epochs", 0) * settings["niter_per_ep"])
    return WarmupCosine(
        settings["total"],
        warmup_iters,
        start=settings.get("start_warmup_value", 0.0) / settings["base_value"],
        end=settings["final_value"] / settings["base_value"],
        shape=SHAPES[settings.get("sched_type", "cos")],
    )


@family("parameter groups and learning-rate schedule")
def check_video_optimization(case: GoldenCase) -> None:
    check_video_groups(case)
    for settings in case.spec["schedules"]:
        base = settings["lr"]
        total = settings["epochs"] * settings["iters"]
        schedule = LaggedWarmupCosine(
            total,
            int(settings["warmup"] * settings["iters"]),
            start=settings["warm_lr"] / base,
            end=(settings["lr_min"] or base / 100) / base,  # the recipe's minimum unless the case gives one
        )
        rows = case.arrays[f"lr_{settings['name']}"]
        found = [schedule(step / total) * base * np.array(settings["lr_scales"]) for step in range(len(rows))]
        np.testing.assert_allclose(found, rows, rtol=0, atol=1e-12 * base, err_msg=settings["name"])
