#!/usr/bin/env python3
"""Turn VOC XML annotations into one COCO-format file.

VOC counts pixels from 1 and includes the last one: xmin 1, xmax 10 is a box 10 pixels wide that starts at x = 0. Some
labelling tools write the VOC layout with pixels counted from 0 and the last one excluded: give --zero-based for those.
"""

import argparse
from pathlib import Path

from script_io import PrepareError, run, write_json
from tqdm import tqdm
from voc_xml import VocImage, read_voc_xml

_DIFFICULT = {
    "ignore": "as iscrowd=1: not trained on, neither hit nor miss in evaluation",
    "keep": "as any",
    "drop": "out",
}


def convert(
    images: list[VocImage], class_names: list[str] | None, difficult: str, zero_based: bool
) -> tuple[dict, int]:
    """COCO content and the number of boxes dropped because nothing of them lies inside their image.

    Args:
        class_names: in the order of the ids 1..K; None takes all names found, sorted.
        difficult: what becomes of objects marked difficult, "ignore", "keep" or "drop".
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
    """[x, y, width, height] inside the image, pixels counted from 0."""
    shift = 0 if zero_based else 1
    left, top, right, bottom = corners[0] - shift, corners[1] - shift, corners[2], corners[3]
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, image.width), min(bottom, image.height)
    return [left, top, right - left, bottom - top] if right > left and bottom > top else None


def list_xml_files(annotations: Path, split: Path | None) -> list[Path]:
    """All XML files of a folder, or those a split file names, one stem a line (VOC ImageSets/Main/*.txt)."""
    if not annotations.is_dir():
        raise PrepareError(f"{annotations}: no such folder; give the folder of the XML files.")
    if split is None:
        files = sorted(annotations.glob("*.xml"))
    elif not split.is_file():
        raise PrepareError(f"{split}: no such file; give a list of file stems such as ImageSets/Main/train.txt.")
    else:
        stems = [line.split()[0] for line in split.read_text().splitlines() if line.strip()]
        files = [annotations / f"{stem}.xml" for stem in stems]
    if not files:
        raise PrepareError(f"{split or annotations} names no XML file; check the path.")
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="folder of XML files, e.g. VOC2012/Annotations")
    parser.add_argument("--output", type=Path, required=True, help="COCO JSON to write")
    parser.add_argument("--split", type=Path, help="file with one stem a line, e.g. VOC2012/ImageSets/Main/train.txt")
    parser.add_argument("--classes", help="names in order, separated by commas (default: all found, sorted)")
    choices = "; ".join(f"{key}: {meaning}" for key, meaning in _DIFFICULT.items())
    parser.add_argument("--difficult", choices=list(_DIFFICULT), default="ignore", help=f"{choices} (default: ignore)")
    parser.add_argument("--zero-based", action="store_true", help="pixels counted from 0, last one excluded")
    parser.add_argument("--skip-bad", action="store_true", help="leave unreadable XML files out instead of stopping")
    arguments = parser.parse_args()

    images, skipped = [], 0
    for path in tqdm(list_xml_files(arguments.annotations, arguments.split), desc="XML files", unit=""):
        try:
            images.append(read_voc_xml(path))
        except PrepareError as error:
            if not arguments.skip_bad:
                raise PrepareError(f"{error} (or leave such files out with --skip-bad)") from error
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
