#!/usr/bin/env python3
"""Convert VOC XML annotations to one COCO-format file.

VOC numbers pixels from 1 and its boxes include the last pixel: xmin 1, xmax 10 is a box of 10 pixels that starts at
x = 0. Some labelling tools write VOC files with pixels numbered from 0 and without the last pixel; use --zero-based for
them.
"""

import argparse
from pathlib import Path

from script_io import PrepareError, run, write_json
from tqdm import tqdm
from voc_xml import VocImage, read_voc_xml

_DIFFICULT = {
    "ignore": "set iscrowd=1, which training ignores and evaluation counts neither as a hit nor as a miss",
    "keep": "treat them as all others",
    "drop": "leave them out",
}


def convert(
    images: list[VocImage], class_names: list[str] | None, difficult: str, zero_based: bool
) -> tuple[dict, int]:
    """Convert VOC images to COCO content.

    Args:
        images: The XML files.
        class_names: Class names in the order of the ids 1..K; None uses all names found, sorted.
        difficult: Treatment of objects marked difficult: "ignore", "keep" or "drop".
        zero_based: Whether pixels are numbered from 0 and boxes exclude the last pixel.

    Returns:
        The COCO content, and the number of boxes dropped because they are completely outside their image.

    Raises:
        PrepareError: An object has a class that is not in `class_names`.
    """
    found = sorted({item.name for image in images for item in image.objects})
    names = class_names or found
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise PrepareError(f"class {unknown[0]!r} is not among --classes {','.join(names)}; add it or correct the XML.")
    ids = {name: index for index, name in enumerate(names, start=1)}
    annotations: list[dict] = []
    num_dropped = 0
    for image_id, image in enumerate(images, start=1):
        for item in image.objects:
            if item.difficult and difficult == "drop":
                continue
            box = _box(item.corners, image, zero_based)
            if box is None:
                num_dropped += 1
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[item.name],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(item.difficult and difficult == "ignore"),
                    "difficult": int(item.difficult),
                }
            )
    content = {
        "info": {"description": "converted from VOC XML"},
        "images": [
            {"id": image_id, "file_name": image.file_name, "width": image.width, "height": image.height}
            for image_id, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for name, index in ids.items()],
    }
    return content, num_dropped


def _box(corners: tuple[float, float, float, float], image: VocImage, zero_based: bool) -> list[float] | None:
    """Return [x, y, width, height] clipped to the image, with pixels numbered from 0, or None if nothing is left."""
    # A last pixel numbered from 1 is the same number as the excluded end numbered from 0, so only the start shifts.
    shift = 0 if zero_based else 1
    left, top, right, bottom = corners[0] - shift, corners[1] - shift, corners[2], corners[3]
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, image.width), min(bottom, image.height)
    if right <= left or bottom <= top:
        return None
    return [left, top, right - left, bottom - top]


def list_xml_files(annotations: Path, split: Path | None) -> list[Path]:
    """Return all XML files of a folder, or those that a split file lists.

    Args:
        annotations: Folder of the XML files.
        split: Text file with one file stem per line (VOC ImageSets/Main/*.txt), or None.

    Raises:
        PrepareError: The folder or the split file does not exist, or there is no XML file.
    """
    if not annotations.is_dir():
        raise PrepareError(f"{annotations}: no such folder; give the folder of the XML files.")
    if split is None:
        files = sorted(annotations.glob("*.xml"))
    elif not split.is_file():
        raise PrepareError(f"{split}: no such file; give a list of file stems such as ImageSets/Main/train.txt.")
    else:
        try:
            with open(split, encoding="utf-8-sig") as lines:
                stems = [line.split()[0] for line in lines if line.strip()]
        except UnicodeDecodeError as error:
            raise PrepareError(f"{split} is not UTF-8 text; give one file stem per line.") from error
        files = [annotations / f"{stem}.xml" for stem in stems]
    if not files:
        raise PrepareError(f"{split or annotations} contains no XML file; check the path.")
    return files


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="folder of XML files, e.g. VOC2012/Annotations")
    parser.add_argument("--output", type=Path, required=True, help="COCO JSON file to write")
    parser.add_argument("--split", type=Path, help="file with one stem per line, e.g. VOC2012/ImageSets/Main/train.txt")
    parser.add_argument(
        "--classes", help="class names in the order of their ids, separated by commas (default: all found, sorted)"
    )
    choices = "; ".join(f"{key}: {meaning}" for key, meaning in _DIFFICULT.items())
    parser.add_argument(
        "--difficult",
        choices=list(_DIFFICULT),
        default="ignore",
        help=f"treatment of objects marked difficult. {choices} (default: ignore)",
    )
    parser.add_argument(
        "--zero-based", action="store_true", help="pixels are numbered from 0 and boxes exclude the last pixel"
    )
    parser.add_argument("--skip-bad", action="store_true", help="skip unreadable XML files instead of stopping")
    arguments = parser.parse_args()

    images, skipped = [], 0
    for path in tqdm(list_xml_files(arguments.annotations, arguments.split), desc="XML files", unit=""):
        try:
            images.append(read_voc_xml(path))
        except PrepareError as error:
            if not arguments.skip_bad:
                raise PrepareError(f"{error} (or skip such files with --skip-bad)") from error
            tqdm.write(f"skipped: {error}")
            skipped += 1
    names = [name.strip() for name in arguments.classes.split(",")] if arguments.classes else None
    content, num_dropped = convert(images, names, arguments.difficult, arguments.zero_based)
    write_json(arguments.output, content)
    print(
        f"{arguments.output}: {len(images)} images ({skipped} skipped), {len(content['annotations'])} boxes "
        f"({num_dropped} without area inside their image dropped), {len(content['categories'])} classes"
    )


if __name__ == "__main__":
    run(main)
