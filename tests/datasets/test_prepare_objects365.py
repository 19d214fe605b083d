"""Conversion of Objects365 v2 downloads, packed or unpacked, to the registered layout."""

import io
import json
import random
import tarfile
from pathlib import Path

import pytest
from script_runs import files_below, run_script

_FILES = {
    "train": ["images/v1/patch0/objects365_v1_00000001.jpg", "images/v2/patch16/objects365_v2_00000002.jpg"],
    "val": ["images/v1/patch0/objects365_v1_00000003.jpg", "images/v2/patch16/objects365_v2_00000004.jpg"],
}


def _json(split: str) -> bytes:
    images = [{"id": index, "file_name": name} for index, name in enumerate(_FILES[split])]
    return json.dumps({"images": images, "annotations": [], "categories": []}).encode()


def _image(name: str) -> bytes:
    return f"picture {Path(name).name}".encode()


def _archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE
            member.linkname = target
            archive.addfile(member)


def _packed(source: Path) -> None:
    """The downloads: the training JSON in an archive, and archives of the same names for both splits."""
    _archive(source / "zhiyuan_objv2_train.tar.gz", {"zhiyuan_objv2_train.json": _json("train")})
    (source / "zhiyuan_objv2_val.json").write_bytes(_json("val"))
    for split, (first, second) in _FILES.items():
        _archive(source / split / "patch0.tar.gz", {f"patch0/{Path(first).name}": _image(first)})
        _archive(source / split / "patch16.tar.gz", {f"./patch16/{Path(second).name}": _image(second)})


def _unpacked(source: Path) -> None:
    """The layout of EVA-02's instructions: o365/images/patchN."""
    for split, names in _FILES.items():
        for name in names:
            path = source / "o365" / "images" / name.split("/")[2] / Path(name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_image(name))
        (source / "o365" / f"zhiyuan_objv2_{split}.json").write_bytes(_json(split))


def _expected() -> list[str]:
    annotations = [f"Objects365/annotations/zhiyuan_objv2_{split}.json" for split in _FILES]
    return sorted(annotations + [f"Objects365/{name}" for names in _FILES.values() for name in names])


@pytest.mark.parametrize(
    ("make", "mode"),
    [(_packed, "hardlink"), (_unpacked, "hardlink"), (_unpacked, "copy"), (_unpacked, "move")],
)
def test_layout(tmp_path, make, mode):
    make(tmp_path / "downloads")
    root = tmp_path / "root"
    for _ in range(2):  # the second run finds everything in place
        done = run_script("prepare_objects365.py", "--source", tmp_path / "downloads", "--mode", mode, root=root)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("2 images in place, 0 missing") == 2
        assert files_below(root) == _expected()
    for names in _FILES.values():
        for name in names:
            assert (root / "Objects365" / name).read_bytes() == _image(name)
    assert (root / "Objects365/annotations/zhiyuan_objv2_train.json").read_bytes() == _json("train")
    images = [path for path in files_below(tmp_path / "downloads") if path.endswith(".jpg")]
    assert len(images) == (4 if make is _unpacked and mode != "move" else 0)


def test_missing_images(tmp_path):
    """Available images are kept; the annotation file is written only when all images are available."""
    source, root = tmp_path / "downloads", tmp_path / "root"
    _packed(source)
    (source / "train" / "patch16.tar.gz").unlink()
    options = ["--source", source, "--splits", "train"]
    done = run_script("prepare_objects365.py", *options, "--allow-missing", 0, root=root)
    assert done.returncode == 2
    assert "1 of 2 train images are not below" in done.stderr
    assert "patch16; download these patches" in done.stderr
    assert files_below(root) == [f"Objects365/{_FILES['train'][0]}"]
    done = run_script("prepare_objects365.py", *options, root=root)
    assert done.returncode == 0
    assert "1 missing ['images/v2/patch16/objects365_v2_00000002.jpg']" in done.stdout
    _packed(source)
    done = run_script("prepare_objects365.py", *options, "--allow-missing", 0, root=root)
    assert done.returncode == 0


def test_archives_of_existing_images_are_not_unpacked_again(tmp_path):
    source, root = tmp_path / "downloads", tmp_path / "root"
    _packed(source)
    assert run_script("prepare_objects365.py", "--source", source, root=root).returncode == 0
    for archive in source.rglob("patch*.tar.gz"):
        archive.write_bytes(b"")
    done = run_script("prepare_objects365.py", "--source", source, root=root)
    assert done.returncode == 0, done.stderr


def _damage_archive(source: Path) -> None:
    """Truncate within the second image."""
    path = source / "train" / "patch16.tar.gz"
    noise = random.Random(0).randbytes(200_000)
    _archive(path, {"patch16/first.jpg": b"x", f"patch16/{Path(_FILES['train'][1]).name}": noise})
    path.write_bytes(path.read_bytes()[:100_000])


def _damage_json_archive(source: Path) -> None:
    path = source / "zhiyuan_objv2_train.tar.gz"
    path.write_bytes(path.read_bytes()[:60])


def _foreign_json(source: Path) -> None:
    (source / "zhiyuan_objv2_train.tar.gz").unlink()
    content = {"images": [{"file_name": "../../../etc/objects365_v1_00000001.jpg"}]}
    (source / "zhiyuan_objv2_train.json").write_text(json.dumps(content))


def _empty_json(source: Path) -> None:
    (source / "zhiyuan_objv2_train.tar.gz").unlink()
    (source / "zhiyuan_objv2_train.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (_damage_archive, "patch16.tar.gz cannot be unpacked"),
        (_damage_json_archive, "zhiyuan_objv2_train.tar.gz cannot be unpacked"),
        (_foreign_json, "expected images/v1/patchN/objects365_v1_*.jpg or v2; give the Objects365 v2"),
        (_empty_json, "lists no image; give the Objects365 v2 annotation file"),
        (
            lambda source: (source / "zhiyuan_objv2_train.tar.gz").unlink(),
            "contains neither zhiyuan_objv2_train.json nor",
        ),
    ],
)
def test_bad_downloads(tmp_path, damage, fragment):
    _packed(tmp_path / "downloads")
    damage(tmp_path / "downloads")
    done = run_script("prepare_objects365.py", "--source", tmp_path / "downloads", root=tmp_path / "root")
    assert done.returncode == 2
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr
    assert all(name.endswith(".jpg") for name in files_below(tmp_path / "root"))  # nothing half-written


def test_archive_members_cannot_write_elsewhere(tmp_path):
    source, root = tmp_path / "a" / "downloads", tmp_path / "a" / "root"
    _packed(source)
    name = Path(_FILES["train"][0]).name
    _archive(
        source / "train" / "patch0.tar.gz",
        {"../../../outside.jpg": b"x", f"/../../{name}": b"picture", "../patch0/evil.jpg": b"x"},
        links={f"patch16/{Path(_FILES['train'][1]).name}": "/etc/passwd"},
    )
    done = run_script("prepare_objects365.py", "--source", source, root=root)
    assert done.returncode == 0, done.stderr
    assert files_below(root) == _expected()
    assert [path for path in files_below(tmp_path) if "outside" in path or "evil" in path] == []
    assert not any(path.is_symlink() for path in root.rglob("*"))
