"""OpenVINO's files: a graph as XML, which has the metadata, and weights in a second file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from eva_backbone.errors import InputError

from ..metadata import ENTRY, MAX_BYTES, Metadata

if TYPE_CHECKING:
    import openvino

_MAX_DEPTH = 100


def write_openvino(model: "openvino.Model", metadata: Metadata, path: Path, compress_to_fp16: bool) -> list[Path]:
    """Write a model of OpenVINO with its metadata, and return the two files."""
    import openvino

    model.set_rt_info(metadata.to_json(), [ENTRY])
    openvino.save_model(model, path, compress_to_fp16=compress_to_fp16)
    return [path, path.with_suffix(".bin")]


def read_openvino_metadata(path: Path) -> str | None:
    """Return the entry of metadata in OpenVINO's XML file, None if it has none.

    Raises:
        InputError: The file is not XML, declares entities, or is truncated.
    """
    parser = expat.ParserCreate()
    entries: list[str] = []
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        if name == ENTRY and "value" in attributes:
            entries.append(attributes["value"])

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_arguments: Any) -> None:
        raise ValueError("it declares a document type, which can expand to any size")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            parser.ParseFile(file)
    except (expat.ExpatError, ValueError) as error:
        raise InputError(
            f"{path} is not a model of OpenVINO, or it is truncated ({size:,} bytes); export or download it again."
        ) from error
    return next((entry for entry in entries if len(entry) <= MAX_BYTES), None)
