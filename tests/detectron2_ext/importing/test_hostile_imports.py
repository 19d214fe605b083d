"""Annotation files of unknown origin: no entity is expanded, no file outside of the folder is opened."""

import json
import os
from pathlib import Path

import pytest
from annotated_data import cvat_image, cvat_xml, labelme_json, save_images, shape, voc_xml

from detectron2_ext.importing import read_data
from eva_backbone.errors import InputError
from tests.fuzz import imports as fuzz

_LAUGHS = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
_EXTERNAL = '<!DOCTYPE a SYSTEM "file:///etc/passwd">'
BOX = [("dog", (1, 1, 9, 9), 0)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_images(tmp_path, ["outside"])
    return save_images(tmp_path / "data")


@pytest.mark.parametrize("head", [_LAUGHS, _EXTERNAL])
def test_entities_are_refused(folder, head):
    (folder / "b.xml").write_text(voc_xml("b.png", BOX, head))
    with pytest.raises(InputError, match=r"b\.xml declares a document type or entities"):
        read_data(folder)
    (folder / "b.xml").write_text(cvat_xml(cvat_image("b.png")).replace("<annotations>", f"{head}<annotations>"))
    with pytest.raises(InputError, match=r"b\.xml declares a document type or entities"):
        read_data(folder)


def test_deep_xml_is_refused(folder):
    (folder / "b.xml").write_text("<annotation>" + "<a>" * 10**5 + "</a>" * 10**5 + "</annotation>")
    with pytest.raises(InputError, match=r"b\.xml has elements nested more than 50 deep"):
        read_data(folder)


@pytest.mark.parametrize(
    "name", ["../outside.png", "/etc/passwd", "https://example.com/x.png", "..\\outside.png", "\0"]
)
def test_images_outside_of_the_folder_are_not_used(folder, name):
    (folder / "a.json").write_text(labelme_json(name, [shape("nut", [[0, 0], [9, 0], [9, 9]])]))
    with pytest.raises(InputError, match=r"a\.json: names the image .*, which is not in"):
        read_data(folder)
    images = [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}]
    images.append({"id": 2, "file_name": name, "width": 64, "height": 48})
    (folder / "a.json").write_text(
        json.dumps({"images": images, "annotations": [], "categories": [{"id": 1, "name": "nut"}]})
    )
    with pytest.raises(InputError, match=r"listed in a\.json, but not in"):
        read_data(folder)


def test_data_yaml_cannot_lead_elsewhere(folder):
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text("0 .5 .5 .5 .5\n")
    (folder / "data.yaml").write_text(f"path: {folder.parent}\ntrain: ..\nval: /etc\nnames: [nut]\n")
    data = read_data(folder)
    assert [image["file_name"] for image in data.parts["all"]["images"]] == ["a.png", "b.png", "c.png"]
    assert any("which is not in the folder" in note for note in data.findings.notes)


@pytest.mark.parametrize(
    "text",
    [
        "names: &a [x]\ntrain: *a\n",
        "names: !!python/object/apply:os.system [ls]\n",
        "names: [" + "[" * 999 + "\n",
        "names: 3\n",
    ],
)
def test_hostile_yaml(folder, text):
    (folder / "data.yaml").write_text(text)
    (folder / "a.txt").write_text("0 .5 .5 .5 .5\n")
    with pytest.raises(InputError, match=r"not a YAML file of plain values|is not a list of class names"):
        read_data(folder)


@pytest.mark.parametrize("text", ['{"shapes": ' + "[" * 10**5, '{"shapes": 3}', '{"shapes": [3, null]}', "\xff"])
def test_hostile_json(folder, text):
    (folder / "b.json").write_bytes(text.encode("latin-1"))
    (folder / "a.json").write_text(labelme_json("a.png", [shape("nut", [[0, 0], [9, 0], [9, 9]])]))
    data = read_data(folder, skip_bad=True)
    assert [image["file_name"] for image in data.parts["all"]["images"]] in (["a.png"], ["a.png", "b.png"])
    flaws = data.findings.flaws.get("bad_numbers", {})
    assert "b.json" in data.findings.bad_files or flaws == {"b.json": 2}


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "-inf", "nan", "0x10", "1_0"])
def test_hostile_numbers(folder, number):
    (folder / "a.xml").write_text(voc_xml("a.png", [("dog", (1, 1, number, 9), 0), *BOX]))
    data = read_data(folder)
    assert 1 <= len(data.parts["all"]["annotations"]) <= 2
    rle = f"<mask label='a' rle='{number}' left='0' top='0' width='2' height='2'/>"
    big = f"<mask label='a' rle='1,{number}' left='0' top='0' width='{number}' height='{number}'/>"
    (folder / "a.xml").write_text(cvat_xml(cvat_image("a.png", rle + big)))
    assert read_data(folder).parts["all"]["annotations"] == []


def test_pipes_are_not_read(folder):
    os.mkfifo(folder / "a.xml")
    (folder / "b.xml").write_text(voc_xml("b.png", BOX))
    with pytest.raises(InputError):
        read_data(folder)


def test_mutated_files_are_imported_or_refused():
    fuzz.run(200, seed=0)
