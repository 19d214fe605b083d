#!/usr/bin/env python3
"""Convert the Objects365 v2 downloads to the layout of the datasets objects365_train and objects365_val.

The source folder contains the downloads in any arrangement: patchN.tar.gz archives or unpacked folders (for instance
o365/images/patchN), and zhiyuan_objv2_train.json (or .tar.gz) and zhiyuan_objv2_val.json.
The result is Objects365/images/{v1,v2}/patchN/*.jpg and Objects365/annotations/*.json. An interrupted run can be
continued by the same command; an annotation file appears only when its images are in place.
"""

import argparse
import gzip
import os
import re
import shutil
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from script_io import PrepareError, atomic_path, dataset_root, run
from tqdm import tqdm

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*"([^"]*)"')
_IMAGE = re.compile(r"images/v[12]/patch\d{1,3}/objects365_v[12]_\d{1,10}\.jpg")
_CHUNK_BYTES = 16 * 2**20
_MAX_MATCH_BYTES = 512  # longer than any match of _FILE_NAME
_MAX_IMAGE_BYTES = 256 * 2**20


def list_images(json_file: Path) -> dict[str, str]:
    """Return {base name: path relative to Objects365/} of every image.

    The file is searched without parsing it, because the parsed content takes 20 GB of memory.

    Raises:
        PrepareError: A path is not one of Objects365 v2, or the file lists no image.
    """
    paths: dict[str, str] = {}
    tail = b""
    with json_file.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            for match in _FILE_NAME.finditer(tail + chunk):
                path = match.group(1).decode("utf-8", "replace").replace("\\/", "/")
                if not _IMAGE.fullmatch(path):
                    raise PrepareError(
                        f"{json_file} lists the image {path!r}, expected images/v1/patchN/objects365_v1_*.jpg or v2; "
                        "give the Objects365 v2 annotation file."
                    )
                paths[path.rsplit("/", 1)[1]] = path
            # A match may cross the border of two chunks. Finding a path twice is harmless.
            tail = (tail + chunk)[-_MAX_MATCH_BYTES:]
    if not paths:
        raise PrepareError(f"{json_file} lists no image; give the Objects365 v2 annotation file.")
    return paths


def find_annotations(source: Path, name: str) -> Path | tuple[Path, str]:
    """Find the annotation file `name`.json; return its path, or the path of an archive and the name of the member.

    Raises:
        PrepareError: The file is neither in `source` nor in an archive there.
    """
    for path in sorted(source.rglob(f"{name}.json")):
        return path
    for path in sorted(source.rglob(f"{name}.tar.gz")):
        with _open_archive(path) as archive:
            for member in archive:
                if member.isreg() and os.path.basename(member.name) == f"{name}.json":
                    return path, member.name
    raise PrepareError(f"{source} contains neither {name}.json nor {name}.tar.gz; download it, see datasets/README.md.")


def transfer_images(source: Path, target: Path, wanted: dict[str, str], mode: str) -> None:
    """Move, link, copy or unpack every wanted image below `source` to its path below `target`.

    Args:
        source: Folder of the downloads, searched at any depth.
        target: The folder Objects365/.
        wanted: {base name: path relative to `target`}.
        mode: "hardlink", "move" or "copy", for images that are already unpacked.
    """
    archives, unpacked = [], []
    for folder, _, names in os.walk(source):
        archives += [Path(folder, name) for name in names if re.fullmatch(r"patch\d+\.tar\.gz", name)]
        unpacked += [Path(folder, name) for name in names if name in wanted]
    for path in tqdm(unpacked, desc="images", unit=""):
        destination = target / wanted[path.name]
        if not _is_complete(destination):
            _transfer(path, destination, mode)
    # Archive patchN contains the images of the folder patchN. Reading an archive takes minutes, so only those with
    # missing images are read.
    needed = {f"{path.split('/')[2]}.tar.gz" for path in wanted.values() if not _is_complete(target / path)}
    for path in tqdm(sorted(path for path in archives if path.name in needed), desc="archives", unit=""):
        with _open_archive(path) as archive:
            _unpack_images(archive, target, wanted)


def _unpack_images(archive: tarfile.TarFile, target: Path, wanted: dict[str, str]) -> None:
    # Only the base name of a member is used, and only if the annotations list it, so that no member of a malicious
    # archive can write outside the target.
    for member in archive:
        name = os.path.basename(member.name)
        if not member.isreg() or name not in wanted or member.size > _MAX_IMAGE_BYTES:
            continue
        destination = target / wanted[name]
        if not _is_complete(destination):
            with atomic_path(destination, sync=False) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(archive.extractfile(member), file)  # type: ignore[arg-type]


@contextmanager
def _open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive as a stream; an archive that turns out damaged anywhere in the block raises a `PrepareError`."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            yield archive
    # RecursionError: thousands of headers that describe one member. ValueError: headers with invalid numbers.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError, ValueError) as error:
        raise PrepareError(f"{path} cannot be unpacked ({error}); download it again.") from error


def _is_complete(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _transfer(path: Path, destination: Path, mode: str) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        if mode == "copy":
            with atomic_path(destination, sync=False) as temporary:
                shutil.copyfile(path, temporary)
        elif mode == "move":
            path.replace(destination)
        else:
            destination.unlink(missing_ok=True)
            os.link(path, destination)
    except OSError as error:
        raise PrepareError(
            f"{path} cannot be transferred to {destination} by {mode} ({error}); try --mode copy."
        ) from error


def write_annotations(found: Path | tuple[Path, str], destination: Path) -> None:
    """Copy the annotation file that `find_annotations` found to `destination`, unpacking it if necessary."""
    if isinstance(found, Path):
        if not (destination.is_file() and found.samefile(destination)):
            with atomic_path(destination) as temporary:
                shutil.copyfile(found, temporary)
        return
    path, member_name = found
    with atomic_path(destination) as temporary, _open_archive(path) as archive, temporary.open("wb") as file:
        for member in archive:
            if member.name == member_name:
                shutil.copyfileobj(archive.extractfile(member), file)  # type: ignore[arg-type]
                return


def prepare(source: Path, target: Path, splits: list[str], mode: str, allow_missing: int) -> None:
    """Prepare the images of all splits in one pass over the downloads, then the annotations of each split.

    Args:
        source: Folder of the downloads.
        target: The folder Objects365/.
        splits: "train", "val" or both.
        mode: "hardlink", "move" or "copy", for images that are already unpacked.
        allow_missing: Number of images of a split that may be missing.

    Raises:
        PrepareError: An annotation file is missing, or more images are missing than allowed.
    """
    names = {split: f"zhiyuan_objv2_{split}.json" for split in splits}
    staged = {split: target / "annotations" / f".{name}.staged" for split, name in names.items()}
    try:
        for split, name in names.items():
            write_annotations(find_annotations(source, name.removesuffix(".json")), staged[split])
        wanted = {split: list_images(path) for split, path in staged.items()}
        all_wanted: dict[str, str] = {}
        for paths in wanted.values():
            all_wanted |= paths
        transfer_images(source, target, all_wanted, mode)
        for split, name in names.items():
            missing = [path for path in wanted[split].values() if not _is_complete(target / path)]
            if len(missing) > allow_missing:
                patches = Counter(path.split("/")[2] for path in missing)
                raise PrepareError(
                    f"{len(missing)} of {len(wanted[split])} {split} images are not below {source}, most of them "
                    f"from {', '.join(patch for patch, _ in patches.most_common(5))}; download these patches and run "
                    f"again, or continue without them with --allow-missing {len(missing)}."
                )
            destination = target / "annotations" / name
            staged[split].replace(destination)
            in_place = len(wanted[split]) - len(missing)
            print(f"{destination}: {in_place} images in place, {len(missing)} missing {missing[:3]}")
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder of the downloads, searched at any depth")
    parser.add_argument("--root", type=Path, default=dataset_root(), help="data root (default: %(default)s)")
    parser.add_argument("--splits", nargs="+", choices=["train", "val"], default=["train", "val"], help="default: both")
    parser.add_argument(
        "--mode",
        choices=["hardlink", "move", "copy"],
        default="hardlink",
        help="how to transfer unpacked images (default: hardlink)",
    )
    parser.add_argument(
        "--allow-missing",
        type=int,
        default=3,
        help="images of a split that may be missing (default: 3, since three train images are in no archive)",
    )
    arguments = parser.parse_args()
    if not arguments.source.is_dir():
        raise PrepareError(f"{arguments.source}: no such folder; give the folder of the downloads.")
    prepare(arguments.source, arguments.root / "Objects365", arguments.splits, arguments.mode, arguments.allow_missing)


if __name__ == "__main__":
    run(main)
