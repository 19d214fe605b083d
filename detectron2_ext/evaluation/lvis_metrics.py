"""LVIS's matching of detections to ground truth, by hotcoco or by the lvis package."""

import math
from collections import defaultdict

import numpy as np
import pycocotools.mask as mask_util

from eva_backbone.errors import InputError

from .ground_truth import GroundTruth
from .precision_recall import PrecisionRecall

FREQUENCIES = {"APr": "r", "APc": "c", "APf": "f"}  # rare, common, frequent

# Above the largest area range, so it belongs to none.
_AREA_OF_NO_RANGE = 1e11


def measure_lvis(
    ground_truth: GroundTruth, results: list[dict], task: str, max_dets: int = 300, backend: str = "hotcoco"
) -> PrecisionRecall:
    """Precision and recall under LVIS's federated rules (Gupta et al. 2019, section 3).

    Only categories that an image shows or lists in `neg_category_ids` count there; a detection without a match is
    ignored if its category is in `not_exhaustive_category_ids`.

    Args:
        results: as for `measure_coco`.
        task: "bbox" or "segm".
        max_dets: detections kept per image, over all categories.
        backend: "hotcoco", or "lvis", which gives the same numbers slowly.
    """
    content = {
        "images": ground_truth.images,
        "annotations": ground_truth.annotations_for(task),
        "categories": ground_truth.categories,
    }
    measure = {"hotcoco": _hotcoco, "lvis": _lvis}[backend]
    precision, recall = measure(content, results, task, max_dets)
    shape = (10, 101, len(ground_truth.categories), 4, 1)
    return PrecisionRecall(np.reshape(precision, shape), np.reshape(recall, (shape[0], *shape[2:])), (max_dets,))


def frequency_metrics(curves: PrecisionRecall, ground_truth: GroundTruth) -> dict[str, float]:
    """APr, APc and APf: the AP of rare, common and frequent categories, in percent."""
    frequencies = [category["frequency"] for category in ground_truth.categories]
    return {
        name: 100 * curves.average_precision(categories=[i for i, f in enumerate(frequencies) if f == frequency])
        for name, frequency in FREQUENCIES.items()
    }


def check_lvis(ground_truth: GroundTruth) -> None:
    """Raises `InputError` if the file lacks what makes COCO's format LVIS's."""
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


def _hotcoco(content: dict, results: list[dict], task: str, max_dets: int) -> tuple[np.ndarray, np.ndarray]:
    import hotcoco

    # What the lvis package does otherwise: it knows no crowds, honours `ignore`, and leaves out what has no area.
    annotations = []
    for annotation in content["annotations"]:
        if 0 < annotation["area"] < math.inf:
            area = _AREA_OF_NO_RANGE if annotation.get("ignore") else annotation["area"]
            annotations.append({**annotation, "iscrowd": 0, "area": area})
    truth = hotcoco.COCO({**content, "annotations": annotations})
    kept = [result for result in limit_per_image(results, max_dets) if _has_area(result)]
    evaluation = hotcoco.LVISEval(truth, hotcoco.LVISResults(truth, kept, max_dets=-1), task)
    evaluation.evaluate()
    evaluation.accumulate()
    tables = evaluation.eval or {}
    return tables["precision"], tables["recall"]


def limit_per_image(results: list[dict], max_dets: int) -> list[dict]:
    """The `max_dets` results of highest score of every image; of equal scores the earlier ones."""
    by_image = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    for image_id, of_image in by_image.items():
        if len(of_image) > max_dets:
            by_image[image_id] = sorted(of_image, key=lambda result: -result["score"])[:max_dets]
    return [result for of_image in by_image.values() for result in of_image]


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
