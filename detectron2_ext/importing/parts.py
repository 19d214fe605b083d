"""The parts of a dataset that a run uses: chosen or divided, with the category ids of the training data."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.data.stratified_split import stratified_split

from .imported_data import ImportedData


def training_part(data: ImportedData) -> str:
    """Return the name of the part to train on."""
    return "train" if "train" in data.parts else next(iter(data.parts))


def validation_part(data: ImportedData) -> str | None:
    """Return the name of the part to evaluate on, or None if the data is one part."""
    return next((part for part in ("val", "test") if part in data.parts), None)


def divide(data: ImportedData, share: float) -> None:
    """Move a share of the images of the only part to a new part "val", stratified by class; the rest is "train".

    Raises:
        InputError: The data has a validation part, or fewer than two images.
    """
    own = validation_part(data)
    if own is not None:
        num_images = len(data.parts[own]["images"])
        raise InputError(
            f"{data.source} has a part {own} of {num_images} images; omit --val-share, or give the folder of its "
            "training part."
        )
    part = training_part(data)
    content = data.parts.pop(part)
    labels: dict[Any, set[Any]] = {record["id"]: set() for record in content["images"]}
    for record in content["annotations"]:
        if record["image_id"] in labels:
            labels[record["image_id"]].add(record["category_id"])
    chosen = set(stratified_split(list(labels.values()), share))
    val_ids = {image_id for index, image_id in enumerate(labels) if index in chosen}
    root = data.images_of(part)
    data.json_files.clear()
    data.image_roots = {"train": root, "val": root}
    for name in ("train", "val"):
        is_val = name == "val"
        images = [image for image in content["images"] if (image["id"] in val_ids) == is_val]
        annotations = [record for record in content["annotations"] if (record["image_id"] in val_ids) == is_val]
        data.parts[name] = {**content, "images": images, "annotations": annotations}


def align_categories(data: ImportedData, part: str, categories: Mapping[int, str], source: str | Path) -> None:
    """Give a part the categories of the training data, by the names of its own.

    Args:
        data: The data with this part; modified.
        part: Name of the part.
        categories: Class name by category id, of the training.
        source: What has these categories, for the message.

    Raises:
        InputError: The part has objects of another class.
    """
    content = data.parts[part]
    own = {category["id"]: str(category["name"]).strip() for category in content["categories"]}
    if own == dict(categories):
        return
    ids = {name: number for number, name in categories.items()}
    counts: Counter[str] = Counter()
    aligned = []
    for record in content["annotations"]:
        name = own.get(record.get("category_id"), "?")
        if name in ids:
            aligned.append({**record, "category_id": ids[name]})
        else:
            counts[name] += 1
    if counts:
        listed = ", ".join(f"{name!r} ({count} objects)" for name, count in counts.most_common(5))
        raise InputError(
            f"{data.source} has classes that {source} does not have: {listed}; add them to the training, or rename "
            "them with --rename-class OLD=NEW."
        )
    rows = [{"id": number, "name": name} for number, name in categories.items()]
    data.parts[part] = {**content, "annotations": aligned, "categories": rows}
    data.json_files.pop(part, None)
