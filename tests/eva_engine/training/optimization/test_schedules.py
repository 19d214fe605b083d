"""Factors of the schedules that no golden case covers: segmentation, edges, every iteration of a long run."""

import numpy as np
import pytest
import torch
from timm.scheduler import CosineLRScheduler

from eva_backbone.errors import InputError
from eva_engine.training.optimization import WarmupCosine
from eva_semseg.schedule import WarmupPolynomial
from eva_video.schedule import LaggedWarmupCosine

# Learning rate of the lowest layer as the logs of the published runs print it, by number of finished iterations.
COCO_STUFF = {
    50: 5.978e-08,
    100: 1.207e-07,
    500: 6.041e-07,
    1000: 1.199e-06,
    1500: 1.784e-06,
    1550: 1.784e-06,
    2000: 1.77e-06,
    5000: 1.679e-06,
    10000: 1.526e-06,
    20000: 1.221e-06,
    45000: 4.579e-07,
    60000: 3.052e-11,
}
ADE20K = {
    50: 2.984e-07,
    100: 6.013e-07,
    500: 2.97e-06,
    1000: 2.9e-06,
    1500: 2.823e-06,
    1550: 2.816e-06,
    5000: 2.289e-06,
    15000: 7.632e-07,
    20000: 1.526e-10,
}


@pytest.mark.parametrize(
    ("base", "total", "warmup", "logged"), [(1.5e-5, 60000, 1500, COCO_STUFF), (2.5e-5, 20000, 500, ADE20K)]
)
def test_segmentation_schedule_is_that_of_the_published_logs(base, total, warmup, logged):
    schedule = WarmupPolynomial(total, warmup)
    found = {n: float(f"{base * 0.95**41 * schedule((n - 1) / total):.3e}") for n in logged}
    assert found == pytest.approx(logged, rel=1e-12)


def test_polynomial_by_its_formula():
    schedule = WarmupPolynomial(10, 4, start=0.2, power=2.0)
    expected = [0.2 * 1.0, 0.4 * 0.81, 0.6 * 0.64, 0.8 * 0.49] + [(1 - t / 10) ** 2 for t in range(4, 11)]
    assert [schedule(t / 10) for t in range(11)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("total", "warmup", "start", "end"), [(50, 0, 0.3, 0.1), (50, 7, 0.0, 0.01), (9, 8, 0.5, 0.5)])
def test_video_schedule_is_timms_one_update_late(total, warmup, start, end):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    theirs = CosineLRScheduler(
        optimizer, total - warmup, end, warmup_t=warmup, warmup_lr_init=start, warmup_prefix=True, t_in_epochs=False
    )
    used = []
    for update in range(total):
        used.append(optimizer.param_groups[0]["lr"])
        theirs.step_update(update)
    schedule = LaggedWarmupCosine(total, warmup, start, end)
    assert [schedule(update / total) for update in range(total)] == pytest.approx(used, abs=1e-12)


@pytest.mark.parametrize(("total", "warmup", "start"), [(50, 0, 0.3), (50, 1, 0.3), (50, 2, 0.0), (50, 49, 0.1)])
def test_classification_schedule_joins_two_published_pieces(total, warmup, start):
    after = np.arange(total - warmup) / (total - warmup)
    expected = [*np.linspace(start, 1, warmup), *(0.1 + 0.45 * (1 + np.cos(np.pi * after)))]
    schedule = WarmupCosine(total, warmup, start, end=0.1)
    assert [schedule(t / total) for t in range(total)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", [WarmupCosine, LaggedWarmupCosine, WarmupPolynomial])
def test_every_iteration_of_a_long_run_is_recovered_from_its_fraction(kind):
    total = 1_086_300
    schedule = kind(total, 14_484)
    seen = []
    schedule.at = seen.append
    for iteration in range(0, total + 1, 7):
        schedule(iteration / total)
    assert seen == list(range(0, total + 1, 7))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (WarmupCosine(4), [1, 0.8535533905932737, 0.5, 0.1464466094067262, 0]),
        (WarmupCosine(4, 1, start=0.5, end=0.1), [0.5, 1, 0.775, 0.325, 0.1]),
        (WarmupCosine(4, 2, end=0.5), [0, 1, 1, 0.75, 0.5]),
        (WarmupCosine(4, 1, shape="linear"), [0, 1, 0.5, 0, 0]),
        (WarmupCosine(2, 2), [0, 1, 1]),
        (WarmupCosine(1, shape="linear", end=0.5), [1, 0.5]),
        (LaggedWarmupCosine(6, 2, end=0.0), [0, 0, 0.5, 1, 0.8535533905932737, 0.5, 0.1464466094067262]),
        (LaggedWarmupCosine(2, 0, end=0.0), [1, 1, 0.5]),
        (LaggedWarmupCosine(3, 0, end=1.0), [1, 1, 1, 1]),
    ],
)
def test_edges(schedule, expected):
    total = schedule.max_iter
    assert [schedule(t / total) for t in range(total + 1)] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: WarmupCosine(100, 5004), "warm-up of 5004 iterations does not fit a run of 100; lower lr_mult"),
        (lambda: WarmupPolynomial(100, -1), "warm-up of -1"),
        (lambda: WarmupCosine(100, 5, shape="step"), "shape=step is not a schedule; choose cosine or linear"),
    ],
)
def test_unusable_settings_are_refused(build, sentence):
    with pytest.raises(InputError, match=sentence):
        build()
