"""Small datasets in several formats, with the same three images of 64 x 48 pixels."""

import json
from pathlib import Path

from synthetic_coco import HEIGHT, WIDTH, noise_image

_OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult>"
    "<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
)


def save_images(folder: Path, names: str | list[str] = "abc") -> Path:
    """Write an image for each name, as PNG unless the name has a suffix, and return the folder."""
    for name in names:
        path = folder / (name if "." in name else f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_image().save(path)
    return folder


def voc_xml(file_name: str, objects: list[tuple[str, tuple, int]], head: str = "", size=(WIDTH, HEIGHT)) -> str:
    """Return a VOC file with objects of (class, (xmin, ymin, xmax, ymax), difficult)."""
    body = "".join(_OBJECT.format(name=name, box=box, difficult=difficult) for name, box, difficult in objects)
    return (
        f"{head}<annotation><filename>{file_name}</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
        f"<depth>3</depth></size>{body}</annotation>"
    )


def labelme_json(image: str, shapes: list[dict], **more: object) -> str:
    """Return a LabelMe file."""
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    return json.dumps(content | {"imageHeight": HEIGHT, "imageWidth": WIDTH} | more)


def shape(label: str, points: list, kind: str = "polygon", **more: object) -> dict:
    """Return a shape of LabelMe."""
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def cvat_xml(images: str, labels: tuple[str, ...] = ()) -> str:
    """Return a file of CVAT for images 1.1."""
    listed = "".join(f"<label><name>{label}</name></label>" for label in labels)
    return (
        f"<?xml version='1.0' encoding='utf-8'?><annotations><version>1.1</version>"
        f"<meta><task><labels>{listed}</labels></task></meta>{images}</annotations>"
    )


def cvat_image(name: str, shapes: str = "", number: int = 0) -> str:
    """Return an image of a CVAT file."""
    return f'<image id="{number}" name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'


def boxes_of(content: dict) -> list[tuple]:
    """Return (file name, class, box, iscrowd) of all objects of a part, with boxes rounded to 1e-4 pixels."""
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    rows = []
    for record in content["annotations"]:
        box = tuple(round(value, 4) for value in record["bbox"])
        rows.append((files[record["image_id"]], names[record["category_id"]], box, record["iscrowd"]))
    return sorted(rows)
