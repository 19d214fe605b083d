"""Read mutated annotation files of every format: they are imported, or refused with one sentence."""

import json
import random
import sys
import tempfile
from pathlib import Path

from detectron2_ext.importing import read_data
from detectron2_ext.importing.report import format_report, report_json
from eva_backbone.errors import InputError

from .tables import mutate

sys.path.append(str(Path(__file__).parents[1] / "detectron2_ext/importing"))

from annotated_data import cvat_image, cvat_xml, labelme_json, save_images, shape, voc_xml


def seeds() -> dict[str, str]:
    """Return an intact file of each format by its name."""
    boxes = [("nut", (1, 1, 10, 10), 0), ("bolt", (5, 5, 64, 48), 1)]
    polygon = [[1, 1], [20, 1], [20, 30]]
    cvat = '<box label="nut" xtl="1" ytl="1" xbr="9" ybr="9"/><polygon label="nut" points="1,1;20,1;20,30"/>'
    cvat += '<mask label="nut" rle="1,3" left="0" top="0" width="2" height="2"/>'
    coco = {"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}]}
    coco |= {"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}]}
    coco |= {"categories": [{"id": 1, "name": "nut"}]}
    objects = {"bbox": [[1, 1, 9, 9]], "category": ["nut"]}
    return {
        "a.xml": voc_xml("a.png", boxes),
        "annotations.xml": cvat_xml(cvat_image("a.png", cvat), ("nut",)),
        "a.json": labelme_json("a.png", [shape("nut", polygon), shape("nut", [[5, 5], [9, 9]], "circle")]),
        "coco.json": json.dumps(coco),
        "boxes.csv": "image,xmin,ymin,xmax,ymax,label\na.png,1,1,9,9,nut\nb.png,1,1,9,9,nut\n",
        "metadata.jsonl": json.dumps({"file_name": "a.png", "objects": objects}) + "\n",
        "data.yaml": "train: .\nval: .\nnames: [nut, bolt]\n",
        "a.txt": "0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.5 0.1 0.5 0.5\n",
    }


def run(rounds: int, seed: int) -> None:
    """Read `rounds` mutated files.

    Args:
        rounds: Number of files.
        seed: Seed of the mutations.
    """
    draw = random.Random(seed)
    intact = seeds()
    with tempfile.TemporaryDirectory() as name:
        folder = save_images(Path(name), "ab")
        for _ in range(rounds):
            kind = draw.choice(list(intact))
            yolo = ("data.yaml", "a.txt") if kind in ("data.yaml", "a.txt") else ()
            for other in {kind, *yolo}:
                content = intact[other].encode()
                (folder / other).write_bytes(mutate(content, draw) if other == kind else content)
            for skip_bad in (False, True):
                try:
                    data = read_data(folder, skip_bad=skip_bad)
                    format_report(data)
                    json.dumps(report_json(data), allow_nan=False)
                    json.dumps(data.parts, allow_nan=data.format == "COCO JSON")  # whose other values are not checked
                except InputError as error:
                    message = str(error)
                    if "\n" in message:
                        raise AssertionError(f"seed {seed}, {kind}: {message}") from error
            for other in {kind, *yolo}:
                (folder / other).unlink()
