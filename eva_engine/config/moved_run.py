"""The config of a run whose folder was moved: files in the folder are found where they are now."""

import os
from pathlib import Path
from typing import Any

from .literal_strings import to_literal


def with_present_paths(content: Any, file: Path) -> Any:
    """Return the content of a run's config.yaml with the present paths of the files in the folder of the run.

    A run writes files into its folder that its config names, such as converted annotations. The paths are absolute, so
    that a copy of the config elsewhere still names them. Each path below the former folder, `train.output_dir`, is
    replaced if there is such a file in the present one; and so is that folder itself if it no longer exists, otherwise
    the present one may be a copy of the run.

    Args:
        content: Values of YAML.
        file: The file that they were read from.
    """
    settings = content.get("train") if isinstance(content, dict) else None
    former = settings.get("output_dir") if isinstance(settings, dict) else None
    present = str(file.resolve().parent)
    if file.name != "config.yaml" or not isinstance(former, str) or not os.path.isabs(former) or former == present:
        return content
    content = _replaced(content, former.rstrip("/") + "/", f"{present}/")
    if not os.path.exists(former):
        content["train"]["output_dir"] = to_literal(present)
    return content


def _replaced(content: Any, former: str, present: str) -> Any:
    if isinstance(content, dict):
        return {key: _replaced(value, former, present) for key, value in content.items()}
    if isinstance(content, list):
        return [_replaced(value, former, present) for value in content]
    if isinstance(content, str) and content.startswith(former):
        path = present + content[len(former) :]
        if os.path.exists(path):
            return to_literal(path)
    return content
