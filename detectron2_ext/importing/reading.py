"""Read a dataset of any format into memory."""

from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.garbage import garbage_collection_paused

from .class_questions import check_class_names
from .data_files import DataFiles
from .formats import READERS, detect_format
from .imported_data import ImportedData, ImportOptions


def read_data(
    source: str | Path, options: ImportOptions | None = None, *, skip_advice: str = "", skip_bad: bool = False
) -> ImportedData:
    """Read the annotations of a folder or file in any known format.

    Nothing is written, except images that are embedded in annotations, to `options.extracted`. Pixels are not read, and
    headers of images only where the annotations lack the sizes.

    Args:
        source: Folder of the dataset, or its annotation file.
        options: Options of the import.
        skip_advice: How the user leaves out bad files, for the message.
        skip_bad: Leave out files that cannot be used, instead of raising one error about all of them.

    Raises:
        InputError: The format is not known or not the only one, files cannot be used, no image is left, or two class
            names are probably the same class.
    """
    options = options or ImportOptions()
    files = DataFiles(source, options.images)
    if options.format is None:
        key, evidence = detect_format(files)
    else:
        key, evidence = options.format, "as --data-format says"
    with garbage_collection_paused():
        data: ImportedData = READERS[key].read(files, options)
    data.findings.notes.insert(0, f"{data.format}: {evidence}")
    if not skip_bad:
        data.findings.check_files(str(source), skip_advice)
    data.parts = {part: content for part, content in data.parts.items() if content["images"]}
    if not data.parts:
        raise InputError(f"{source} has no usable image with annotations; check the folder and its images.")
    questions = check_class_names(data.count_objects(), options.renamed, data.is_class_list_given, str(source))
    data.findings.notes += questions
    return data
