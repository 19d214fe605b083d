"""Convert detections of a synthetic dataset to the output format of a Detectron2 model."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Boxes, Instances
from evaluation_cases import Case


def model_outputs(case: Case, classes: Mapping[int, int], with_masks: bool = True) -> tuple[list[dict], list[dict]]:
    """Return the inputs and outputs of a model for every image, including those without detections.

    Args:
        classes: category id to class index.
    """
    by_image = defaultdict(list)
    for detection in case.detections:
        by_image[detection["image_id"]].append(detection)
    inputs, outputs = [], []
    for image in case.ground_truth["images"]:
        detections = by_image[image["id"]]
        boxes = torch.tensor([d["bbox"] for d in detections], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = Instances((image["height"], image["width"]))
        instances.pred_boxes = Boxes(boxes)
        instances.scores = torch.tensor([d["score"] for d in detections], dtype=torch.float32)
        instances.pred_classes = torch.tensor([classes[d["category_id"]] for d in detections], dtype=torch.int64)
        if with_masks:
            masks = np.zeros((len(detections), image["height"], image["width"]), dtype=bool)
            for mask, detection in zip(masks, detections, strict=True):
                mask[:] = mask_util.decode([detection["segmentation"]])[..., 0]
            instances.pred_masks = torch.from_numpy(masks)
        inputs.append({"image_id": image["id"], "height": image["height"], "width": image["width"]})
        outputs.append({"instances": instances})
    return inputs, outputs


def evaluate(evaluator: DatasetEvaluator, inputs: list[dict], outputs: list[dict]) -> dict:
    """Call an evaluator as Detectron2's evaluation loop does, in batches of two."""
    evaluator.reset()
    for start in range(0, len(inputs), 2):
        evaluator.process(inputs[start : start + 2], outputs[start : start + 2])
    return evaluator.evaluate()
