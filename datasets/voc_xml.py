"""Read untrusted VOC XML files."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from script_io import PrepareError

_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class VocObject:
    """One object; `corners` are (xmin, ymin, xmax, ymax) as written in the file."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocImage:
    """Content of one XML file; sizes are in pixels."""

    file_name: str
    width: int
    height: int
    objects: tuple[VocObject, ...]


def read_voc_xml(path: Path) -> VocImage:
    """Read one file.

    Raises:
        PrepareError: The file does not exist or is not XML, it declares a document type or entities (which can expand
            without bound or refer to other files), or a required value is missing.
    """
    if not path.is_file():
        raise PrepareError(f"{path}: no such file; correct the split file or restore the XML.")
    if path.stat().st_size > _MAX_BYTES:
        raise PrepareError(f"{path} is larger than {_MAX_BYTES >> 20} MiB; give a VOC annotation file.")
    data = path.read_bytes()
    _refuse_document_type(data, path)
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise PrepareError(f"{path} is not valid XML ({error}); repair or remove it.") from error
    file_name = (root.findtext("filename") or "").strip()
    if not file_name:
        raise PrepareError(f"{path}: <filename> is missing; name the image file.")
    width, height = (_number(root, f"size/{key}", path) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise PrepareError(f"{path}: <size> is {width:g}x{height:g}; give the image's size in pixels.")
    objects = tuple(_read_object(element, index, path) for index, element in enumerate(root.findall("object"), start=1))
    return VocImage(file_name, int(width), int(height), objects)


def _read_object(element: ElementTree.Element, index: int, path: Path) -> VocObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise PrepareError(f"{path}: object {index} has no <name>; name its class.")
    left, top, right, bottom = (
        _number(element, f"bndbox/{key}", path, index) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    if right < left or bottom < top:
        raise PrepareError(f"{path}: object {index} has xmax < xmin or ymax < ymin; correct its box.")
    return VocObject(name, (left, top, right, bottom), (element.findtext("difficult") or "0").strip() == "1")


def _number(element: ElementTree.Element, tag: str, path: Path, index: int | None = None) -> float:
    text = element.findtext(tag)
    owner = f"object {index}: " if index is not None else ""
    try:
        value = float(text or "nan")
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise PrepareError(f"{path}: {owner}<{tag}> is {text!r}; give a number of pixels.")
    return value


def _refuse_document_type(data: bytes, path: Path) -> None:
    """Raise a `PrepareError` at the first declaration, before `ElementTree` would expand entities."""

    def refuse(*_: object) -> None:
        raise PrepareError(f"{path} declares a document type or entities, which VOC files do not need; remove them.")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise PrepareError(f"{path} is not valid XML ({error}); repair or remove it.") from error
