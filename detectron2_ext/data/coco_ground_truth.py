"""Ground truth in the form COCO evaluators need, where the user's own file does not have it."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from detectron2.structures import PolygonMasks
from pycocotools import mask as mask_api


def write_ground_truth(dicts: list[dict], categories: Mapping[int, str]) -> str:
    """Writes checked records as a complete COCO file and returns its path.

    Evaluators read `area` and `iscrowd` of every annotation and take the annotation id 0 for "no match", so a file
    without the former or with the latter cannot be evaluated as it is. The copy has all areas (of the mask, else of
    the box, in square pixels), numbers the annotations from 1 and lacks the records that were skipped. It lies in a
    temporary folder that the process removes when it ends.

    Args:
        dicts: Detectron2 dataset dicts whose annotations carry ``area``, a number or None.
        categories: category id -> name, in the order of the contiguous class indices.
    """
    category_ids = list(categories)
    images: list[dict] = []
    annotations: list[dict] = []
    for image in dicts:
        images.append({key: image[key] for key in ("file_name", "height", "width")} | {"id": image["image_id"]})
        for annotation in image["annotations"]:
            mask = annotation.get("segmentation")
            record = {
                "id": len(annotations) + 1,
                "image_id": image["image_id"],
                "category_id": category_ids[annotation["category_id"]],
                "bbox": annotation["bbox"],
                "area": _area(annotation, mask) if annotation["area"] is None else annotation["area"],
                "iscrowd": annotation["iscrowd"],
            }
            if isinstance(mask, list):
                record["segmentation"] = [polygon.tolist() for polygon in mask]
            elif mask is not None:
                counts = mask["counts"]
                record["segmentation"] = {
                    "size": mask["size"],
                    "counts": counts.decode() if isinstance(counts, bytes) else counts,
                }
            annotations.append(record)
    content = {
        "info": {},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": category_id, "name": name} for category_id, name in categories.items()],
    }
    folder = Path(tempfile.mkdtemp(dir=_temporary_folder()))
    (folder / "ground_truth.json").write_text(json.dumps(content))
    return str(folder / "ground_truth.json")


def _area(annotation: dict, mask: list | dict | None) -> float:
    if mask is None:
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    if isinstance(mask, list):
        return float(PolygonMasks([mask]).area()[0])
    return float(mask_api.area(mask))


@cache
def _temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="eva-vision-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
