#!/usr/bin/env python3
"""Restrict LVIS v1 val to the images of COCO val2017 (dataset lvis_v1_val_5k).

The images of LVIS v1 val come from both COCO splits. A detector trained on COCO has not seen those of val2017.
"""

import argparse
from pathlib import Path

from script_io import PrepareError, dataset_root, read_json, run, write_json
from tqdm import tqdm


def restrict_to_val2017(lvis: dict) -> dict:
    """Return the same content with only the images whose `coco_url` is in val2017, and their annotations.

    Raises:
        PrepareError: An image has no valid `coco_url`.
    """
    images = []
    for image in lvis["images"]:
        url = image.get("coco_url")
        if not isinstance(url, str) or url.count("/") < 2:
            raise PrepareError(f"image {image.get('id')} has coco_url {url!r}; give the LVIS v1 annotation file.")
        if url.split("/")[-2] == "val2017":
            images.append(image)
    kept = {image["id"] for image in images}
    annotations = []
    for annotation in tqdm(lvis["annotations"], desc="annotations", unit=""):
        if annotation["image_id"] in kept:
            annotations.append(annotation)
    return {**lvis, "images": images, "annotations": annotations}


def main() -> None:
    """Run the script."""
    folder = dataset_root() / "lvis"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--input", type=Path, default=folder / "lvis_v1_val.json", help="LVIS annotations (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=folder / "lvis_v1_val_5k.json", help="file to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    lvis = read_json(arguments.input, ("images", "annotations", "categories"))
    restricted = restrict_to_val2017(lvis)
    if not restricted["images"]:
        raise PrepareError(f"{arguments.input} contains no image of COCO val2017; give lvis_v1_val.json.")
    write_json(arguments.output, restricted)
    print(
        f"{arguments.output}: {len(restricted['images'])} of {len(lvis['images'])} images, "
        f"{len(restricted['annotations'])} of {len(lvis['annotations'])} annotations"
    )


if __name__ == "__main__":
    run(main)
