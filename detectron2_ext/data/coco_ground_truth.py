"""Write a complete COCO ground-truth file where the user's file lacks values that COCO evaluators need."""

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
    """Write checked records as a complete COCO file and return its path.

    Evaluators read `area` and `iscrowd` of every annotation and treat annotation id 0 as "no match". A file without
    these keys or with id 0 can therefore not be evaluated directly. In the copy every annotation has an area (of the
    mask, else of the box, in square pixels), annotations are numbered from 1, and skipped records are left out. The
    copy is in a temporary folder that is removed when the process ends.

    Args:
        dicts: Detectron2 dataset dicts whose annotations have `area`, a number or None.
        categories: {category id: class name} in the order of the contiguous class indices.
    """
    category_ids = list(categories)
    images: list[dict] = []
    annotations: list[dict] = []
    for image in dicts:
        images.append({key: image[key] for key in ("file_name", "height", "width")} | {"id": image["image_id"]})
        for annotation in image["annotations"]:
            mask = annotation.get("segmentation")
            area = annotation["area"]
            if area is None:
                area = _area(annotation, mask)
            record = {
                "id": len(annotations) + 1,
                "image_id": image["image_id"],
                "category_id": category_ids[annotation["category_id"]],
                "bbox": annotation["bbox"],
                "area": area,
                "iscrowd": annotation["iscrowd"],
            }
            if isinstance(mask, list):
                record["segmentation"] = [polygon.tolist() for polygon in mask]
            elif mask is not None:
                counts = mask["counts"]
                if isinstance(counts, bytes):
                    counts = counts.decode()
                record["segmentation"] = {"size": mask["size"], "counts": counts}
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
    """Compute the area of the mask, or of the box if there is no mask, in square pixels."""
    if mask is None:
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    if isinstance(mask, list):
        return float(PolygonMasks([mask]).area()[0])
    return float(mask_api.area(mask))


@cache
def _temporary_folder() -> str:
    """Create one folder per process and remove it at exit."""
    folder = tempfile.mkdtemp(prefix="eva-vision-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
