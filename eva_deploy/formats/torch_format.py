"""PyTorch's archives (.pt2): a program of `torch.export`, or one that is compiled to machine code."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError

from ..metadata import ENTRY, MAX_BYTES, Metadata

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_EXTRA = f"/extra/{ENTRY}"


def write_torch(program: "ExportedProgram", metadata: Metadata, path: Path, *, compiled: bool = False) -> list[Path]:
    """Write a traced graph as a program, or compiled for the processor of this machine, and return the files."""
    import torch
    from torch.export.pt2_archive._package import package_pt2

    extra = {ENTRY: metadata.to_json()}
    if not compiled:
        torch.export.save(program, path, extra_files=extra)
        return [path]
    files: Any = torch._inductor.aot_compile(
        program.module(), program.example_inputs[0], options={"aot_inductor.package": True}
    )
    package_pt2(str(path), aoti_files=files, extra_files=extra)
    return [path]


def read_torch_metadata(path: Path) -> str | None:
    """Return the entry of metadata in an archive, None if it has none; nothing in it is executed.

    Raises:
        InputError: The file is not an archive or is truncated.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                is_stored = record.compress_type == zipfile.ZIP_STORED and record.file_size <= MAX_BYTES
                if record.filename.endswith(_EXTRA) and is_stored:
                    return archive.read(record).decode()
    except Exception as error:  # damaged archives make zipfile raise nearly any exception
        raise InputError(
            f"{path} is not an archive of PyTorch, or it is truncated ({size:,} bytes); export or download it again."
        ) from error
    return None
