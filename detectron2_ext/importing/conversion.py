"""Convert datasets to COCO JSON in the folder of a run, once."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_folder
from eva_engine.text_file import read_json

from .data_files import DataFiles
from .imported_data import ImportedData, ImportOptions
from .parts import align_categories, divide, training_part, validation_part
from .reading import read_data
from .report import format_report, report_json

logger = logging.getLogger(__name__)

REPORT_FILE = "import_report.json"
_MANIFEST = "parts.json"
_VERSION = 2  # of the conversion; another one converts again


@dataclass(frozen=True)
class DataRequest:
    """Datasets that a run uses.

    Attributes:
        train: Data to train on; None if the run only evaluates.
        val: Data to evaluate on; None takes the validation part of `train`, if it has one.
        val_share: Fraction of the images of `train` to evaluate on instead.
        options: Options of the import of `train`.
        val_images: Folder of the images of `val`, as `options.images` for `train`.
        skip_bad: Leave out files that cannot be used.
    """

    train: str | None = None
    val: str | None = None
    val_share: float | None = None
    options: ImportOptions = field(default_factory=ImportOptions)
    val_images: str | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class ConvertedPart:
    """An annotation file in COCO format and the folder of its images."""

    json_file: str
    images: str


def convert_once(
    request: DataRequest, folder: Path, skip_advice: str, categories: Mapping[int, str] | None = None
) -> dict[str, ConvertedPart]:
    """Return the parts "train" and "val" of a run, converted below `folder` unless an earlier call did so.

    COCO files that can be used as they are stay where they are. The report is logged, and is next to the converted
    files.

    Args:
        request: The datasets.
        folder: Folder in which a folder with the result is created.
        skip_advice: How the user leaves out bad files, for messages.
        categories: Class name by category id of the training, for a run that only evaluates.

    Raises:
        InputError: The data cannot be used, see `read_data`; or the validation data has other classes.
    """
    target = folder / f"imported_{_fingerprint(request, categories)}"
    if not target.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(target) as partial:
            _convert(request, partial, skip_advice, categories)
    else:
        logger.info("The data was converted before: %s", target)
    manifest = read_json(target / _MANIFEST, "list of converted files", "delete its folder, and start again")
    # Paths in the folder of the result are relative, because the run may be moved.
    return {
        part: ConvertedPart(*(str(target / paths[name]) for name in ("json_file", "images")))
        for part, paths in manifest.items()
    }


def write_parts(data: ImportedData, folder: Path) -> dict[str, Path]:
    """Write each part as COCO JSON, and the report; return the files."""
    files = {}
    folder.mkdir(parents=True, exist_ok=True)
    for part, content in data.parts.items():
        files[part] = folder / f"{part}.json"
        files[part].write_text(json.dumps(content), encoding="utf-8")
    (folder / REPORT_FILE).write_text(json.dumps(report_json(data), indent=1), encoding="utf-8")
    return files


def _convert(request: DataRequest, partial: Path, skip_advice: str, categories: Mapping[int, str] | None) -> None:
    manifest: dict[str, ConvertedPart] = {}
    reports = []

    def use(data: ImportedData, part: str, name: str) -> None:
        json_file = data.json_files.get(part)
        if json_file is None:
            (partial / f"{name}.json").write_text(json.dumps(data.parts[part]), encoding="utf-8")
            json_file = Path(f"{name}.json")
        images = data.images_of(part)
        if images.is_relative_to(partial):  # the embedded images
            images = images.relative_to(partial)
        manifest[name] = ConvertedPart(str(json_file), str(images))

    source: str | Path = "the training data of the config"
    if request.train is not None:
        options = replace(request.options, extracted=partial / "images_train")
        data = read_data(request.train, options, skip_advice=skip_advice, skip_bad=request.skip_bad)
        if not data.count_objects(training_part(data)).total():
            logger.info("Read %s", format_report(data))
            raise InputError(f"{request.train} has no objects to train on; give annotated images.")
        if request.val_share is not None:
            divide(data, request.val_share)
        own = validation_part(data) if request.val is None else None
        logger.info("Imported %s", format_report(data))
        reports.append(report_json(data))
        use(data, training_part(data), "train")
        categories, source = data.class_names, request.train
        if own is not None:
            align_categories(data, own, categories, source)
            use(data, own, "val")
            logger.info("The part %s is the validation data", own)
        elif request.val is None:
            logger.info("There is no validation data; --val-share 0.1 takes a tenth of the images")
    if request.val is not None:
        images = None if request.val_images is None else Path(request.val_images)
        options = replace(request.options, images=images, extracted=partial / "images_val")
        data = read_data(request.val, options, skip_advice=skip_advice, skip_bad=request.skip_bad)
        part = validation_part(data) or training_part(data)
        logger.info("Imported %s", format_report(data))
        reports.append(report_json(data))
        if categories is not None:
            align_categories(data, part, categories, source)
        use(data, part, "val")
    (partial / REPORT_FILE).write_text(json.dumps(reports, indent=1), encoding="utf-8")
    paths = {name: asdict(part) for name, part in manifest.items()}
    (partial / _MANIFEST).write_text(json.dumps(paths), encoding="utf-8")


def _fingerprint(request: DataRequest, categories: Mapping[int, str] | None) -> str:
    """Return a hash of the options and of the names, sizes and times of all files of the datasets."""
    digest = hashlib.sha256(repr((_VERSION, request, sorted((categories or {}).items()))).encode())
    for source, images in ((request.train, request.options.images), (request.val, request.val_images)):
        if source is None:
            continue
        files = DataFiles(source, images)
        image_set = files.image_set
        for path in sorted({*files.paths, *_label_paths(files)}):
            if path in image_set:
                continue  # only its name counts
            try:
                status = os.stat(files.root / path)
            except OSError as error:
                raise InputError(f"{files.root / path} cannot be read ({error.strerror}); check it.") from error
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        digest.update("\n".join(files.images).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:12]


def _label_paths(files: DataFiles) -> list[str]:
    """Return further files that a given data.yaml refers to."""
    if files.given_file is None or not files.given_file.lower().endswith((".yaml", ".yml")):
        return []
    return DataFiles(files.root).with_suffix(".txt")
