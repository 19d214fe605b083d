"""Read one weight file of any format, without running code and without copying the tensors."""

from pathlib import Path
from typing import Any

from safetensors import safe_open

from eva_backbone.errors import InputError
from eva_engine.safe_text import printable

from .file_kind import FileKind, detect_kind
from .numpy_pickle import read_numpy_pickle
from .safe_pickle import UnsafePickleError, check_content
from .torch_file import read_legacy_torch, read_torch_archive


def read_single_file(path: Path, kind: FileKind | None = None) -> Any:
    """Read all content of a weight file: tensors on the CPU, numbers, strings and builtin containers.

    Args:
        path: The file.
        kind: Its format, if known from `detect_kind`.

    Raises:
        InputError: The file is missing, damaged, not a weight file, or could run code when it is read.
    """
    if kind is None:
        kind = detect_kind(path)
    if kind is FileKind.SHARDED:
        raise InputError(f"{path} is a folder; expected a file.")
    try:
        content = _read(path, kind)
        check_content(content, path.stat().st_size)
        return content
    except InputError:
        raise
    except UnsafePickleError as error:
        raise InputError(
            f"{path} is refused: in addition to weights it has Python objects ({printable(error, 500)}), and "
            "reading those can run any code; if you trust its source, save only its weights with torch.save, in the "
            "program that wrote it."
        ) from error
    except Exception as error:  # damaged files make the parsers raise nearly any exception
        raise InputError(
            f"{path} cannot be read as a {kind} file ({_reason(error)}); it is damaged or truncated: "
            f"compare its size ({path.stat().st_size:,} bytes) with the source and download it again."
        ) from error


def _read(path: Path, kind: FileKind) -> Any:
    if kind is FileKind.SAFETENSORS:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if kind is FileKind.NUMPY_PICKLE:
        return read_numpy_pickle(path)
    if kind is FileKind.LEGACY_TORCH:
        return read_legacy_torch(path)
    return read_torch_archive(path)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    text = printable(lines[0].rstrip("."), 150) if lines else ""
    return text if " " in text else f"{type(error).__name__} {text}".strip()
