"""Precision and recall under LVIS's rules, computed by hotcoco or by the lvis package."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from eva_backbone.errors import InputError

from .ground_truth import GroundTruth
from .precision_recall import PrecisionRecall

FREQUENCIES = {"APr": "r", "APc": "c", "APf": "f"}  # rare, common, frequent

# Larger than the upper bound of every area range (1e10), so that an annotation of this area is ignored in all of them.
_AREA_OUTSIDE_RANGES = 1e11


def measure_lvis(
    ground_truth: GroundTruth, results: list[dict], task: str, max_dets: int = 300, backend: str = "hotcoco"
) -> PrecisionRecall:
    """Measure precision and recall under LVIS's federated rules (Gupta et al. 2019, section 3).

    In each image only the categories count that are annotated there or listed in its `neg_category_ids`; a detection
    without a match is ignored if its category is in the image's `not_exhaustive_category_ids`.

    Args:
        ground_truth: The annotations.
        results: Detections as for `measure_coco`.
        task: "bbox" or "segm".
        max_dets: Number of detections kept per image, over all categories.
        backend: "hotcoco", or "lvis", which gives the same numbers but is slow.
    """
    measure = {"hotcoco": _hotcoco, "lvis": _lvis}[backend]
    precision, recall = measure(_content(ground_truth, task), results, task, max_dets)
    # LVIS has a single detection limit; the last axis makes the arrays the same as COCO's.
    num_categories = len(ground_truth.categories)
    precision = np.reshape(precision, (10, 101, num_categories, 4, 1))
    recall = np.reshape(recall, (10, num_categories, 4, 1))
    return PrecisionRecall(precision, recall, (max_dets,))


def evaluate_with_hotcoco(
    ground_truth: GroundTruth, results: list[dict], task: str, max_dets: int = 300
) -> tuple[Any, list[dict]]:
    """Return the `hotcoco.COCOeval` of the arguments of `measure_lvis`, and the results that it has evaluated."""
    return _evaluate(_content(ground_truth, task), results, task, max_dets)


def frequency_metrics(curves: PrecisionRecall, ground_truth: GroundTruth) -> dict[str, float]:
    """Return APr, APc and APf: the AP of rare, common and frequent categories, in percent."""
    metrics = {}
    for name, frequency in FREQUENCIES.items():
        indices = [
            index for index, category in enumerate(ground_truth.categories) if category["frequency"] == frequency
        ]
        metrics[name] = 100 * curves.average_precision(categories=indices)
    return metrics


def check_lvis(ground_truth: GroundTruth) -> None:
    """Check that an annotation file has the keys that LVIS adds to COCO's format.

    Raises:
        InputError: A category has no frequency, or an image lacks one of its two lists of category ids.
    """
    source = ground_truth.source
    for category in ground_truth.categories:
        if category["frequency"] not in FREQUENCIES.values():
            raise InputError(
                f"{source}: category {category['name']!r} has frequency {category['frequency']!r}, expected 'r', 'c' "
                "or 'f'; give an LVIS annotation file, or use COCOEvaluator."
            )
    for image_id, number in ground_truth.image_numbers.items():
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            if key not in ground_truth.images[number - 1]:
                raise InputError(
                    f"{source}: image {image_id} has no {key!r}; give an LVIS annotation file, or use COCOEvaluator."
                )


def _content(ground_truth: GroundTruth, task: str) -> dict:
    return {
        "images": ground_truth.images,
        "annotations": ground_truth.annotations_for(task),
        "categories": ground_truth.categories,
    }


def _hotcoco(content: dict, results: list[dict], task: str, max_dets: int) -> tuple[np.ndarray, np.ndarray]:
    evaluation, _ = _evaluate(content, results, task, max_dets)
    return evaluation.eval["precision"], evaluation.eval["recall"]


def _evaluate(content: dict, results: list[dict], task: str, max_dets: int) -> tuple[Any, list[dict]]:
    import hotcoco

    # These are the differences from the lvis package, whose numbers are the published ones: it has no crowd regions,
    # it respects `ignore`, and it drops annotations and detections without area.
    annotations = []
    for annotation in content["annotations"]:
        if 0 < annotation["area"] < math.inf:
            area = _AREA_OUTSIDE_RANGES if annotation.get("ignore") else annotation["area"]
            annotations.append({**annotation, "iscrowd": 0, "area": area})
    truth = hotcoco.COCO({**content, "annotations": annotations})
    kept = [result for result in limit_per_image(results, max_dets) if _has_area(result)]
    evaluation = hotcoco.LVISEval(truth, hotcoco.LVISResults(truth, kept, max_dets=-1), task)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation, kept


def limit_per_image(results: list[dict], max_dets: int) -> list[dict]:
    """Return the `max_dets` results with the highest scores of every image; of equal scores the earlier ones."""
    by_image = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    kept = []
    for image_results in by_image.values():
        if len(image_results) > max_dets:
            image_results = sorted(image_results, key=lambda result: -result["score"])[:max_dets]
        kept += image_results
    return kept


def _has_area(result: dict) -> bool:
    if "bbox" in result:
        return result["bbox"][2] * result["bbox"][3] > 0
    return mask_util.area(result["segmentation"]) > 0


def _lvis(content: dict, results: list[dict], task: str, max_dets: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        from .lvis_package import evaluate
    except ImportError as error:
        raise InputError(
            f"backend 'lvis' needs the package lvis ({error}); install the extra 'lvis' of eva-vision, "
            "or use backend 'hotcoco'."
        ) from error
    return evaluate(content, results, task, max_dets)
