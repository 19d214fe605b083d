"""The metadata of an exported file: what it is, and everything that its use needs except for the weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from eva_backbone.errors import InputError

# Name of the entry in the file. Its value is a JSON document.
ENTRY = "eva_vision"
VERSION = 1
MAX_BYTES = 2**23  # a recipe has at most 2 MB, and the names of 20,000 classes about 1 MB
_FIX = "export the model again"


@dataclass(frozen=True)
class Metadata:
    """The metadata of an exported file.

    Attributes:
        version: Version of this layout.
        project: Version of this project that wrote the file.
        task: Name of the task.
        format: "onnx", "openvino" or "torch".
        dtype: Type of the weights.
        graph: Name of the graph in this file.
        graphs: Inputs and outputs of each graph by name; the other graphs are in files with their names next to this.
        class_names: Name of each class.
        settings: Values of the task, see `TaskExport.settings`.
        recipe: The recipe as YAML, read as data.
        details: Further values for people: opset, versions of the packages, number of weights.
    """

    task: str
    format: str
    dtype: str
    graph: str
    graphs: Mapping[str, Any]
    class_names: tuple[str, ...]
    settings: Mapping[str, Any]
    recipe: str
    project: str
    details: Mapping[str, Any]
    version: int = VERSION

    def to_json(self) -> str:
        """Return the value of the entry in the file."""
        return json.dumps(asdict(self), ensure_ascii=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, path: object) -> "Metadata":
        """Parse the entry of a file that may be anything.

        Raises:
            InputError: It is not what `to_json` returns, or of another version.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the metadata of {path} cannot be read, the file is damaged; {_FIX}.") from error
        if not isinstance(content, dict) or type(content.get("version")) is not int:
            raise InputError(f"the metadata of {path} has no version, the file is damaged; {_FIX}.")
        if content["version"] != VERSION:
            raise InputError(
                f"{path} was exported by EVA Vision {str(content.get('project'))[:20]} with version "
                f"{content['version']} of the metadata, this one reads version {VERSION}; {_FIX}."
            )
        for item in fields(cls):
            value = content.get(item.name)
            if not isinstance(value, _TYPES[item.name]):
                raise InputError(f"{item.name} is missing or wrong in the metadata of {path}; {_FIX}.")
        names = content["class_names"]
        if not all(isinstance(name, str) for name in names) or content["graph"] not in content["graphs"]:
            raise InputError(f"the metadata of {path} contradicts itself, the file is damaged; {_FIX}.")
        known = {item.name: content[item.name] for item in fields(cls)}
        return cls(**{**known, "class_names": tuple(names)})


_TYPES: dict[str, type] = {
    "task": str,
    "format": str,
    "dtype": str,
    "graph": str,
    "graphs": dict,
    "class_names": list,
    "settings": dict,
    "recipe": str,
    "project": str,
    "details": dict,
    "version": int,
}
