"""Parse XML and YAML of unknown origin, in bounded time and memory."""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import yaml

from eva_backbone.errors import InputError
from eva_engine.text_file import read_text

MAX_XML_BYTES = 2**31
_MAX_DEPTH = 50  # annotations have five levels
_MAX_YAML_BYTES, _MAX_YAML_EVENTS = 2**22, 500_000


def read_xml(path: Path) -> ElementTree.Element:
    """Return the root element of an XML file.

    Raises:
        InputError: The file cannot be read, is not XML or nested too deeply, or declares a document type or entities,
            which can expand without bound or refer to other files.
    """
    try:
        size = path.stat().st_size
        if size > MAX_XML_BYTES:
            raise InputError(f"{path} is larger than {MAX_XML_BYTES >> 30} GiB; divide it.")
        data = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    try:
        _check_xml(data, path)
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(f"{path} is not valid XML ({error}); repair or remove it.") from error


def _check_xml(data: bytes, path: Path) -> None:
    """Raise an InputError at the first declaration, before `ElementTree` would expand entities."""
    depth = 0

    def refuse(*_: object) -> None:
        raise InputError(f"{path} declares a document type or entities, which annotations do not need; remove them.")

    def start(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise InputError(f"{path} has elements nested more than {_MAX_DEPTH} deep; give a file of annotations.")

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(data, True)


def read_plain_yaml(path: Path) -> dict:
    """Return a YAML file of plain values, such as YOLO's data.yaml.

    Raises:
        InputError: The file cannot be read, is not YAML or not a mapping, or has aliases, tags or too many values.
    """
    text = read_text(path, "YAML file", "give the data.yaml of the dataset", _MAX_YAML_BYTES)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for number, event in enumerate(yaml.parse(text, loader)):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has an alias, which can expand to any size")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH or number > _MAX_YAML_EVENTS:
                raise ValueError("it has too many values")
        content = yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not a YAML file of plain values ({reason}); correct it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a YAML mapping; give the data.yaml of the dataset.")
    return content
