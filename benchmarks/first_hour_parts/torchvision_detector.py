"""The peer: torchvision's smallest Faster R-CNN from random weights, trained for a given processor time."""

import json
import math
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.transforms.functional import pil_to_tensor

from .data_sets import DataSet

BATCH = 8
LEARNING_RATE = 0.01  # torchvision's 0.02 for 16 images, scaled to the batch
WARM_UP = 0.05  # of the processor time

Sample = tuple[torch.Tensor, dict[str, torch.Tensor]]


def processor_seconds() -> float:
    """Return the processor time of this process and of the processes that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def train_peer(data: DataSet, seconds: float) -> list[dict]:
    """Train with stochastic gradient descent, flips and a cosine schedule, as torchvision's reference does.

    Args:
        data: The data.
        seconds: Processor time of the training.

    Returns:
        Its detections in the validation images, as COCO results.
    """
    torch.manual_seed(0)
    content = json.loads(data.train_json.read_text(encoding="utf-8"))
    category_ids = [category["id"] for category in content["categories"]]
    model = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=len(category_ids) + 1
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    samples = _samples(data, content, category_ids)
    start, done = processor_seconds(), 0.0
    while done < 1:
        rate = min(done / WARM_UP, 1.0) * (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * max(rate, 1e-3)
        images, targets = zip(*(next(samples) for _ in range(BATCH)), strict=True)
        loss = sum(model(list(images), list(targets)).values())
        if torch.isfinite(loss):
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
        done = (processor_seconds() - start) / seconds
    return _detect(model.eval(), data, category_ids)


def _samples(data: DataSet, content: dict, category_ids: list[int]) -> Iterator[Sample]:
    """Yield images in random order without end, half of them mirrored."""
    rng = np.random.default_rng(0)
    boxes_of: dict[int, list[dict]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        boxes_of[annotation["image_id"]].append(annotation)
    while True:
        for row in rng.permutation(len(content["images"])):
            record = content["images"][row]
            image = _read(data.train_images / record["file_name"])
            found = boxes_of[record["id"]]
            corners = torch.tensor([annotation["bbox"] for annotation in found]).reshape(-1, 4)
            corners[:, 2:] += corners[:, :2]
            if rng.random() < 0.5:
                image = image.flip(-1)
                corners[:, [0, 2]] = record["width"] - corners[:, [2, 0]]
            labels = [category_ids.index(annotation["category_id"]) + 1 for annotation in found]
            yield image, {"boxes": corners, "labels": torch.tensor(labels, dtype=torch.int64)}


@torch.no_grad()
def _detect(model: torch.nn.Module, data: DataSet, category_ids: list[int]) -> list[dict]:
    results = []
    for record in json.loads(data.val_json.read_text(encoding="utf-8"))["images"]:
        (found,) = model([_read(data.val_images / record["file_name"])])
        for box, label, score in zip(*(found[name].tolist() for name in ("boxes", "labels", "scores")), strict=True):
            left, top, right, bottom = box
            results.append(
                {"image_id": record["id"], "category_id": category_ids[label - 1], "score": score}
                | {"bbox": [left, top, right - left, bottom - top]}
            )
    return results


def _read(path: Path) -> torch.Tensor:
    return pil_to_tensor(Image.open(path, formats=("JPEG", "PNG")).convert("RGB")).float() / 255
