"""The formats of annotations, and the detection of a format by content."""

from types import ModuleType

from eva_backbone.errors import InputError

from .data_files import DataFiles
from .readers import coco, csv_boxes, cvat, hugging_face, labelme, voc, yolo

# Each module has a NAME, `recognise(files)`, which returns the evidence or None, and `read(files, options)`.
READERS: dict[str, ModuleType] = {
    "coco": coco,
    "yolo": yolo,
    "voc": voc,
    "labelme": labelme,
    "cvat": cvat,
    "csv": csv_boxes,
    "hugging-face": hugging_face,
}
_NAMES = "COCO JSON, YOLO, Pascal VOC, LabelMe, CVAT for images 1.1, CSV and Hugging Face"
_SAMPLE = 20


def detect_format(files: DataFiles) -> tuple[str, str]:
    """Return the key of the format in `READERS`, and what shows that it is this one.

    Raises:
        InputError: No format, or several of them, are found.
    """
    found = {}
    for key, reader in READERS.items():
        evidence = reader.recognise(files)
        if evidence is not None:
            found[key] = evidence
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        listed = " and ".join(f"{READERS[key].NAME} ({evidence})" for key, evidence in found.items())
        raise InputError(
            f"{files.source} has annotations in several formats, {listed}; give the file or folder of one of them, or "
            f"choose with --data-format {'|'.join(found)}."
        )
    raise InputError(f"{files.source} {_other_tool(files)}")


def _other_tool(files: DataFiles) -> str:
    """Return the rest of the sentence about data that has none of the formats."""
    for path in files.with_suffix(".json")[:_SAMPLE]:
        head = files.head(path)
        if b"rectanglelabels" in head or b"polygonlabels" in head or b"brushlabels" in head:
            return "is an export of Label Studio in its own format; export it there as COCO or YOLO."
        if path.endswith("meta.json") and b'"classes"' in head:
            return "is a project of Supervisely; export it there as COCO."
    if files.with_suffix(".zip") and not files.images:
        return "is or holds an archive; unpack it and give the folder."
    return f"has no annotations in a known format ({_NAMES}); give the folder or file of the annotations."
