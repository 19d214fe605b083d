#!/usr/bin/env python3
"""Reduce LVIS v1 annotations to the 80 COCO classes with their COCO ids (dataset lvis_v1_val_cocofied).

A COCO detector can then be evaluated on the more accurate LVIS masks. Classes are matched by WordNet synset.
"""

import argparse
from pathlib import Path

from coco_synsets import COCO_SYNSETS
from script_io import PrepareError, dataset_root, read_json, run, write_json
from tqdm import tqdm


def reduce_to_coco(lvis: dict, source: str) -> dict:
    """Keep only the annotations, categories and per-image lists of categories that COCO has a class for.

    Args:
        lvis: Content of an LVIS v1 annotation file.
        source: The file, for messages.

    Raises:
        PrepareError: The file lacks a category that COCO has.
    """
    coco_id_of_synset = {synset: coco_id for coco_id, synset in COCO_SYNSETS.items()}
    coco_ids = {}  # {LVIS category id: COCO category id}
    for category in lvis["categories"]:
        synset = category.get("synset")
        if synset in coco_id_of_synset:
            coco_ids[category["id"]] = coco_id_of_synset[synset]
    missing = [synset for coco_id, synset in COCO_SYNSETS.items() if coco_id not in coco_ids.values()]
    if missing:
        examples = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise PrepareError(f"{source} lacks the categories {examples}; give an LVIS v1 annotation file.")
    images = []
    for image in lvis["images"]:
        reduced = dict(image)
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            reduced[key] = [coco_ids[category_id] for category_id in image.get(key, []) if category_id in coco_ids]
        images.append(reduced)
    annotations = []
    for annotation in tqdm(lvis["annotations"], desc="annotations", unit=""):
        coco_id = coco_ids.get(annotation["category_id"])
        if coco_id is not None:
            annotations.append({**annotation, "category_id": coco_id})
    categories = []
    for category in lvis["categories"]:
        coco_id = coco_ids.get(category["id"])
        if coco_id is not None:
            categories.append({**category, "id": coco_id})
    categories.sort(key=lambda category: category["id"])
    return {**lvis, "images": images, "annotations": annotations, "categories": categories}


def main() -> None:
    """Run the script."""
    folder = dataset_root() / "lvis"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", type=Path, default=folder / "lvis_v1_val_5k.json", help="LVIS annotations (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=folder / "lvis_v1_val_5k_cocofied.json",
        help="file to write (default: %(default)s)",
    )
    arguments = parser.parse_args()
    lvis = read_json(arguments.input, ("images", "annotations", "categories"))
    reduced = reduce_to_coco(lvis, str(arguments.input))
    write_json(arguments.output, reduced)
    print(
        f"{arguments.output}: {len(reduced['images'])} images, "
        f"{len(reduced['annotations'])} of {len(lvis['annotations'])} annotations, {len(reduced['categories'])} classes"
    )


if __name__ == "__main__":
    run(main)
