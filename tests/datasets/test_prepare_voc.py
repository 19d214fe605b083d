"""VOC XML to COCO JSON: pixel conventions, difficult objects, classes and untrusted XML."""

import json
from pathlib import Path

import pytest
from script_runs import files_below, run_script

from detectron2_ext.data import register_coco_json

_OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult>"
    "<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
)


def _xml(file_name: str, objects: list[tuple[str, tuple, int]], head: str = "") -> str:
    body = "".join(_OBJECT.format(name=name, box=box, difficult=difficult) for name, box, difficult in objects)
    return (
        f"{head}<annotation><filename>{file_name}</filename><size><width>20</width><height>10</height>"
        f"<depth>3</depth></size>{body}</annotation>"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "xml").mkdir()
    first = [("dog", (1, 1, 20, 10), 0), ("cat", (5, 3, 5, 3), 1)]
    second = [("dog", (-3, 8, 40, 40), 0), ("cat", (21, 1, 25, 5), 0)]
    (tmp_path / "xml" / "a.xml").write_text(_xml("a.png", first))
    (tmp_path / "xml" / "b.xml").write_text(_xml("b.png", second))
    (tmp_path / "xml" / "c.xml").write_text(_xml("c.png", []))
    return tmp_path


def _convert(folder: Path, *options: object) -> dict:
    done = run_script("prepare_voc.py", "--annotations", folder / "xml", "--output", folder / "o.json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "o.json").read_text())


def _boxes(content: dict) -> list[list]:
    return [annotation["bbox"] for annotation in content["annotations"]]


def test_conversion(folder):
    content = _convert(folder)
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in content["images"]] == [
        (1, "a.png", 20, 10),
        (2, "b.png", 20, 10),
        (3, "c.png", 20, 10),
    ]
    # One pixel is one wide; the box wholly right of its image is dropped.
    assert _boxes(content) == [[0, 0, 20, 10], [4, 2, 1, 1], [0, 7, 20, 3]]
    assert [annotation["area"] for annotation in content["annotations"]] == [200, 1, 60]
    assert [annotation["iscrowd"] for annotation in content["annotations"]] == [0, 1, 0]
    assert [annotation["category_id"] for annotation in content["annotations"]] == [2, 1, 2]


def test_the_result_registers(folder, monkeypatch):
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from PIL import Image

    _convert(folder)
    for name in "abc":
        Image.new("RGB", (20, 10)).save(folder / f"{name}.png")
    summary = register_coco_json("voc_for_test", folder / "o.json", folder)
    assert (summary.class_names, summary.has_masks, summary.num_crowd) == (("cat", "dog"), False, 1)
    monkeypatch.delitem(DatasetCatalog.data, "voc_for_test")
    monkeypatch.delitem(MetadataCatalog.data, "voc_for_test")


@pytest.mark.parametrize(
    ("options", "boxes", "crowd"),
    [
        (["--difficult", "keep"], [[0, 0, 20, 10], [4, 2, 1, 1], [0, 7, 20, 3]], [0, 0, 0]),
        (["--difficult", "drop"], [[0, 0, 20, 10], [0, 7, 20, 3]], [0, 0]),
        (["--zero-based"], [[1, 1, 19, 9], [0, 8, 20, 2]], [0, 0]),
    ],
)
def test_options(folder, options, boxes, crowd):
    content = _convert(folder, *options)
    assert _boxes(content) == boxes
    assert [annotation["iscrowd"] for annotation in content["annotations"]] == crowd


def test_split_file_and_class_order(folder):
    (folder / "train.txt").write_text("b  1\na -1\n")
    content = _convert(folder, "--split", folder / "train.txt", "--classes", "dog, cat, cow")
    assert [image["file_name"] for image in content["images"]] == ["b.png", "a.png"]
    assert [category["name"] for category in content["categories"]] == ["dog", "cat", "cow"]


_LAUGHS = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
_BAD_XML = [
    ("<annotation>", "is not valid XML"),
    ("", "is not valid XML"),
    (_xml("a.png", [], _LAUGHS), "declares a document type or entities, which VOC files do not need"),
    (_xml("a.png", [], '<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "declares a document type or entities"),
    (_xml("", []), "<filename> is missing; name the image file"),
    (_xml("a.png", []).replace("<width>20", "<width>0"), "<size> is 0x10; give the image's size in pixels"),
    (_xml("a.png", []).replace("<width>20</width>", ""), "<size/width> is None; give a number of pixels"),
    (_xml("a.png", [("dog", ("x", 1, 2, 3), 0)]), "object 1: <bndbox/xmin> is 'x'; give a number of pixels"),
    (_xml("a.png", [("dog", ("nan", 1, 2, 3), 0)]), "object 1: <bndbox/xmin> is 'nan'"),
    (_xml("a.png", [("dog", (9, 1, 2, 3), 0)]), "object 1 has xmax < xmin or ymax < ymin; correct its box"),
    (_xml("a.png", [("", (1, 1, 2, 3), 0)]), "object 1 has no <name>; name its class"),
]


@pytest.mark.parametrize(("text", "fragment"), _BAD_XML)
def test_bad_xml(folder, text, fragment):
    path = folder / "xml" / "b.xml"
    path.write_text(text)
    before = files_below(folder)
    done = run_script("prepare_voc.py", "--annotations", folder / "xml", "--output", folder / "o.json")
    assert done.returncode == 2
    assert f"error: {path}" in done.stderr
    assert fragment in done.stderr
    assert files_below(folder) == before
    done = run_script("prepare_voc.py", "--annotations", folder / "xml", "--output", folder / "o.json", "--skip-bad")
    assert done.returncode == 0
    assert "2 images (1 skipped)" in done.stdout
    assert f"skipped: {path}" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--annotations", "{}/none"], "none: no such folder; give the folder of the XML files"),
        (["--annotations", "{}"], "contains no XML file; check the path"),
        (["--annotations", "{}/xml", "--split", "{}/none.txt"], "none.txt: no such file; give a list of file stems"),
        (["--annotations", "{}/xml", "--classes", "cat"], "class 'dog' is not among --classes cat"),
    ],
)
def test_bad_options(folder, options, fragment):
    done = run_script("prepare_voc.py", *[option.format(folder) for option in options], "--output", folder / "o.json")
    assert done.returncode == 2
    assert fragment in done.stderr
    assert not (folder / "o.json").exists()
