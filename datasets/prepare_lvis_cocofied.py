#!/usr/bin/env python3
"""Reduce LVIS v1 annotations to the 80 COCO classes under their COCO ids (data set lvis_v1_val_cocofied).

A COCO detector can then be evaluated against the finer LVIS masks. Classes are matched by WordNet synset.
"""

import argparse
from pathlib import Path

from coco_synsets import COCO_SYNSETS
from script_io import PrepareError, dataset_root, read_json, run, write_json
from tqdm import tqdm


def reduce_to_coco(lvis: dict, source: str) -> dict:
    """The same images with only the annotations, categories and per-image category lists that COCO has a class for."""
    coco_ids = {synset: coco_id for coco_id, synset in COCO_SYNSETS.items()}
    mapped = {
        category["id"]: coco_ids[category["synset"]]
        for category in lvis["categories"]
        if category.get("synset") in coco_ids
    }
    missing = [synset for coco_id, synset in COCO_SYNSETS.items() if coco_id not in mapped.values()]
    if missing:
        raise PrepareError(
            f"{source} lacks the categories {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}; "
            "give an LVIS v1 annotation file."
        )
    images = []
    for image in lvis["images"]:
        reduced = dict(image)
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            reduced[key] = [mapped[category_id] for category_id in image.get(key, []) if category_id in mapped]
        images.append(reduced)
    annotations = [
        {**annotation, "category_id": mapped[annotation["category_id"]]}
        for annotation in tqdm(lvis["annotations"], desc="annotations", unit="")
        if annotation["category_id"] in mapped
    ]
    categories = [
        {**category, "id": mapped[category["id"]]} for category in lvis["categories"] if category["id"] in mapped
    ]
    categories.sort(key=lambda category: category["id"])
    return {**lvis, "images": images, "annotations": annotations, "categories": categories}


def main() -> None:
    folder = dataset_root() / "lvis"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=folder / "lvis_v1_val_5k.json", help="(default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=folder / "lvis_v1_val_5k_cocofied.json", help="(default: %(default)s)"
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
