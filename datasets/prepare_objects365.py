#!/usr/bin/env python3
"""Bring the Objects365 v2 downloads into the layout of the data sets objects365_train and objects365_val.

The source folder holds what was downloaded, in any arrangement: patchN.tar.gz archives or the folders they unpack to
(for instance o365/images/patchN), and zhiyuan_objv2_train.json (or .tar.gz) and zhiyuan_objv2_val.json.
The result is Objects365/images/{v1,v2}/patchN/*.jpg and Objects365/annotations/*.json. An interrupted run goes on
where it stopped; an annotation file appears only when its images are in place.
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

from script_io import PrepareError, dataset_root, run, whole_file
from tqdm import tqdm

_FILE_NAME = re.compile(rb'"file_name"\s*:\s*"([^"]*)"')
_IMAGE = re.compile(r"images/v[12]/patch\d{1,3}/objects365_v[12]_\d{1,10}\.jpg")
_CHUNK = 16 * 2**20
_MAX_NAME = 512
_MAX_IMAGE_BYTES = 256 * 2**20


def list_images(json_file: Path) -> dict[str, str]:
    """Base name -> path below Objects365/ of every image, read without loading the file: it takes 20 GB as objects."""
    paths: dict[str, str] = {}
    tail = b""
    with json_file.open("rb") as file:
        while chunk := file.read(_CHUNK):
            for match in _FILE_NAME.finditer(tail + chunk):
                path = match.group(1).decode("utf-8", "replace").replace("\\/", "/")
                if not _IMAGE.fullmatch(path):
                    raise PrepareError(
                        f"{json_file} names the image {path!r}, expected images/v1/patchN/objects365_v1_*.jpg or v2; "
                        "give the Objects365 v2 annotation file."
                    )
                paths[path.rsplit("/", 1)[1]] = path
            tail = (tail + chunk)[-_MAX_NAME:]
    if not paths:
        raise PrepareError(f"{json_file} names no image; give the Objects365 v2 annotation file.")
    return paths


def find_annotations(source: Path, name: str) -> Path | tuple[Path, str]:
    """The JSON file, or the archive that holds it and its name therein."""
    for path in sorted(source.rglob(f"{name}.json")):
        return path
    for path in sorted(source.rglob(f"{name}.tar.gz")):
        with _open_archive(path) as archive:
            for member in archive:
                if member.isreg() and os.path.basename(member.name) == f"{name}.json":
                    return path, member.name
    raise PrepareError(f"{source} holds neither {name}.json nor {name}.tar.gz; download it, see datasets/README.md.")


def place_images(source: Path, target: Path, wanted: dict[str, str], mode: str) -> None:
    """Puts every image of ``wanted`` that lies below ``source``, loose or in an archive, where it belongs."""
    archives, loose = [], []
    for folder, _, names in os.walk(source):
        archives += [Path(folder, name) for name in names if re.fullmatch(r"patch\d+\.tar\.gz", name)]
        loose += [Path(folder, name) for name in names if name in wanted]
    for path in tqdm(loose, desc="images", unit=""):
        destination = target / wanted[path.name]
        if not _is_placed(destination):
            _place(path, destination, mode)
    # Archive patchN has the images of the folder patchN; unpacking one takes minutes.
    needed = {f"{path.split('/')[2]}.tar.gz" for path in wanted.values() if not _is_placed(target / path)}
    for path in tqdm(sorted(path for path in archives if path.name in needed), desc="archives", unit=""):
        with _open_archive(path) as archive:
            _unpack_images(archive, target, wanted)


def _unpack_images(archive: tarfile.TarFile, target: Path, wanted: dict[str, str]) -> None:
    # Only the base name of a member is used, and only if the annotations know it: no member can write elsewhere.
    for member in archive:
        name = os.path.basename(member.name)
        if not member.isreg() or name not in wanted or member.size > _MAX_IMAGE_BYTES:
            continue
        destination = target / wanted[name]
        if not _is_placed(destination):
            with whole_file(destination, sync=False) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(archive.extractfile(member), file)  # type: ignore[arg-type]


@contextmanager
def _open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive as a stream; damage met anywhere in the block is one sentence."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            yield archive
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise PrepareError(f"{path} cannot be unpacked ({error}); download it again.") from error


def _is_placed(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _place(path: Path, destination: Path, mode: str) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        if mode == "copy":
            with whole_file(destination, sync=False) as temporary:
                shutil.copyfile(path, temporary)
        elif mode == "move":
            path.replace(destination)
        else:
            destination.unlink(missing_ok=True)
            os.link(path, destination)
    except OSError as error:
        raise PrepareError(f"{path} cannot become {destination} by {mode} ({error}); try --mode copy.") from error


def write_annotations(found: Path | tuple[Path, str], destination: Path) -> None:
    if isinstance(found, Path):
        if not (destination.is_file() and found.samefile(destination)):
            with whole_file(destination) as temporary:
                shutil.copyfile(found, temporary)
        return
    path, member_name = found
    with whole_file(destination) as temporary, _open_archive(path) as archive, temporary.open("wb") as file:
        for member in archive:
            if member.name == member_name:
                shutil.copyfileobj(archive.extractfile(member), file)  # type: ignore[arg-type]
                return


def prepare(source: Path, target: Path, splits: list[str], mode: str, allow_missing: int) -> None:
    """Images first, in one pass over the downloads for all splits, then each split's annotations."""
    names = {split: f"zhiyuan_objv2_{split}.json" for split in splits}
    staged = {split: target / "annotations" / f".{name}.staged" for split, name in names.items()}
    try:
        for split, name in names.items():
            write_annotations(find_annotations(source, name.removesuffix(".json")), staged[split])
        wanted = {split: list_images(path) for split, path in staged.items()}
        place_images(source, target, {name: path for paths in wanted.values() for name, path in paths.items()}, mode)
        for split, name in names.items():
            missing = [path for path in wanted[split].values() if not _is_placed(target / path)]
            if len(missing) > allow_missing:
                patches = Counter(path.split("/")[2] for path in missing)
                raise PrepareError(
                    f"{len(missing)} of {len(wanted[split])} {split} images are not below {source}, most of them "
                    f"from {', '.join(patch for patch, _ in patches.most_common(5))}; download these patches and run "
                    f"again, or accept that with --allow-missing {len(missing)}."
                )
            destination = target / "annotations" / name
            staged[split].replace(destination)
            in_place = len(wanted[split]) - len(missing)
            print(f"{destination}: {in_place} images in place, {len(missing)} missing {missing[:3]}")
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder of the downloads, searched at any depth")
    parser.add_argument("--root", type=Path, default=dataset_root(), help="data root (default: %(default)s)")
    parser.add_argument("--splits", nargs="+", choices=["train", "val"], default=["train", "val"])
    parser.add_argument(
        "--mode",
        choices=["hardlink", "move", "copy"],
        default="hardlink",
        help="for unpacked images (default: hardlink)",
    )
    parser.add_argument(
        "--allow-missing", type=int, default=3, help="images that may be absent; three of train are in no archive"
    )
    arguments = parser.parse_args()
    if not arguments.source.is_dir():
        raise PrepareError(f"{arguments.source}: no such folder; give the folder of the downloads.")
    prepare(arguments.source, arguments.root / "Objects365", arguments.splits, arguments.mode, arguments.allow_missing)


if __name__ == "__main__":
    run(main)
