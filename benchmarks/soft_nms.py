"""Soft-NMS over all pairs of 1,000 boxes and 80 classes against torchvision's hard `batched_nms` on the same pairs.

Boxes: uniformly scattered, or in 40 clusters, like those of a cascade. Scores: uniform (min_score drops none), or those
of a softmax dominated by the background. Pairs are ordered by box, as in the heads; "by class" orders them by class;
"own boxes" gives each class its own boxes, as class-specific regression does. On a busy machine use --threads 1,
because the threads of hard NMS synchronise very often.

    python -m benchmarks.soft_nms [--rounds 7] [--threads 2]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torchvision.ops import batched_nms

from detectron2_ext.modeling import batched_soft_nms

from .harness.figure import Figure, record

NUM_BOXES, NUM_CLASSES, SIDE = 1000, 80, 1280.0


def scattered_boxes() -> torch.Tensor:
    center, size = torch.rand(NUM_BOXES, 2) * SIDE, torch.rand(NUM_BOXES, 2) * 200 + 16
    return torch.cat([center - size / 2, center + size / 2], dim=1).clamp(0, SIDE)


def clustered_boxes() -> torch.Tensor:
    cluster = torch.randint(40, (NUM_BOXES,))
    size = (torch.rand(40, 2) * 300 + 20)[cluster]
    center = (torch.rand(40, 2) * SIDE)[cluster] + torch.randn(NUM_BOXES, 2) * size * 0.15
    size = size * (torch.randn(NUM_BOXES, 2) * 0.2).exp()
    return torch.cat([center - size / 2, center + size / 2], dim=1).clamp(0, SIDE)


def uniform_scores() -> torch.Tensor:
    return torch.rand(NUM_BOXES, NUM_CLASSES)


def softmax_scores() -> torch.Tensor:
    logits = torch.randn(NUM_BOXES, NUM_CLASSES + 1) * 2.5
    logits[:, -1] += 6
    return logits.softmax(dim=1)[:, :-1]


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of one call."""
    start, cpu_start = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cpu_start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    print(f"{NUM_BOXES} boxes x {NUM_CLASSES} classes, {args.threads} threads, medians of {args.rounds} rounds in turn")
    for make_boxes in (clustered_boxes, scattered_boxes):
        for make_scores in (softmax_scores, uniform_scores):
            row, classes = torch.ones(NUM_BOXES, NUM_CLASSES).nonzero(as_tuple=True)
            boxes, scores = make_boxes()[row], make_scores()[row, classes]
            own = boxes + torch.rand(len(boxes), 1)
            order = classes.argsort(stable=True)
            soft = partial(batched_soft_nms, iou_threshold=0.6)
            contenders: dict[str, Callable[[], object]] = {
                "hard": partial(batched_nms, boxes, scores, classes, 0.5),
                **{m: partial(soft, boxes, scores, classes, method=m) for m in ("linear", "gaussian", "naive")},
                "linear, by class": partial(soft, boxes[order], scores[order], classes[order]),
                "linear, own boxes": partial(soft, own, scores, classes),
            }
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
            for _ in range(args.rounds):
                for name, run in contenders.items():
                    times[name].append(seconds(run))
            medians = {
                name: tuple(map(statistics.median, zip(*samples, strict=True))) for name, samples in times.items()
            }
            hard, hard_cpu = medians.pop("hard")
            case = f"{make_boxes.__name__}, {make_scores.__name__}".replace("_", " ")
            print(f"{case}: hard NMS {hard * 1e3:.0f} ms, {hard_cpu * 1e3:.0f} processor ms")
            for name, (median, cpu) in medians.items():
                print(f"  soft {name:<18} {median * 1e3:6.0f} ms {cpu * 1e3:6.0f} processor ms   {hard_cpu / cpu:.2f}x")
                title = f"{name}, {case}"
                record(
                    Figure(title, "time", "ms", median * 1e3, "hard NMS", hard * 1e3),
                    Figure(title, "processor time", "ms", cpu * 1e3, "hard NMS", hard_cpu * 1e3),
                )


if __name__ == "__main__":
    main()
