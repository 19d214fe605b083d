"""One bad object does not drop its image, all bad files are named at once, and doubtful data is asked about."""

import json
from pathlib import Path

import numpy as np
import pytest
from annotated_data import HEIGHT, WIDTH, boxes_of, cvat_image, cvat_xml, labelme_json, save_images, shape, voc_xml

from detectron2_ext.data import load_coco_json
from detectron2_ext.importing import ImportOptions, read_data
from detectron2_ext.importing.class_questions import check_class_names, parse_renamed
from detectron2_ext.importing.conversion import DataRequest, convert_once
from detectron2_ext.importing.report import format_report, report_json
from eva_backbone.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_images(tmp_path / "data")


_BAD_BOXES = {
    "no_area": (20, 20, 10, 30),
    "outside": (70, 1, 80, 9),
    "bad_numbers": ("x", 1, 2, 3),
}


@pytest.mark.parametrize("flaw", _BAD_BOXES)
def test_one_bad_box_of_voc(folder, flaw):
    good = ("dog", (1, 1, 64, 48), 0)
    (folder / "a.xml").write_text(voc_xml("a.png", [good, ("dog", _BAD_BOXES[flaw], 0), ("cat", (5, 3, 5, 3), 1)]))
    data = read_data(folder)
    # One pixel is one wide.
    assert boxes_of(data.parts["all"]) == [("a.png", "cat", (4, 2, 1, 1), 1), ("a.png", "dog", (0, 0, 64, 48), 0)]
    assert data.findings.flaws[flaw] == {"a.xml": 1}
    assert "(1)" in format_report(data)
    assert report_json(data)["flaws"][flaw]["files"] == {"a.xml": 1}


def test_boxes_are_cut_at_the_border_and_counted(folder):
    (folder / "a.xml").write_text(voc_xml("a.png", [("dog", (-3, 8, 80, 40), 0), ("dog", (1, 1, 64.5, 48.5), 0)]))
    data = read_data(folder)
    assert [row[2] for row in boxes_of(data.parts["all"])] == [(0, 0, 64, 48), (0, 7, 64, 33)]
    assert data.findings.flaws["cut"] == {"a.xml": 1}  # rounding is not counted


@pytest.mark.parametrize(
    ("difficult", "rows", "flaw"),
    [
        ("ignore", [("a.png", "cat", (4, 2, 1, 1), 1)], "crowd"),
        ("keep", [("a.png", "cat", (4, 2, 1, 1), 0)], None),
        ("drop", [], "dropped_difficult"),
    ],
)
def test_difficult_objects(folder, difficult, rows, flaw):
    (folder / "a.xml").write_text(voc_xml("a.png", [("cat", (5, 3, 5, 3), 1)]))
    data = read_data(folder, ImportOptions(difficult=difficult))
    assert boxes_of(data.parts["all"]) == rows
    assert list(data.findings.flaws) == ([flaw] if flaw else [])


def test_all_bad_files_are_named_at_once(folder):
    (folder / "a.xml").write_text(voc_xml("a.png", [("dog", (1, 1, 9, 9), 0)]))
    (folder / "b.xml").write_text("<annotation>")
    (folder / "c.xml").write_text(voc_xml("missing.png", []))
    with pytest.raises(InputError, match=r"2 file\(s\) cannot be used: .*b\.xml is not valid XML .*; c\.xml: .*--skip"):
        read_data(folder, skip_advice="add --skip-bad")
    data = read_data(folder, skip_bad=True)
    assert len(data.parts["all"]["images"]) == 1
    assert "2 files that cannot be used" in format_report(data)
    assert list(report_json(data)["bad_files"]) == ["b.xml", "c.xml"]


@pytest.mark.parametrize(
    ("boxes", "pixels_from", "expected"),
    [
        ([(0, 5, 9, 9), (1, 1, 64, 48)], None, r"1 of 2 boxes start at pixel 0 \(a\.xml \(1\)\).*add --pixels-from 0"),
        ([(1, 1, 64, 48)], 0, "no box starts at pixel 0, but 1 of 1 start at 1.*add --pixels-from 1"),
        ([(1, 1, 64, 48)], None, "pixels are counted from 1: no box starts at 0"),
        ([(5, 5, 9, 9)], None, "no box at the border shows whether that is right"),
    ],
)
def test_hint_about_the_first_pixel(folder, boxes, pixels_from, expected):
    (folder / "a.xml").write_text(voc_xml("a.png", [("dog", box, 0) for box in boxes]))
    data = read_data(folder, ImportOptions(pixels_from=pixels_from))
    with pytest.raises(AssertionError, match=expected):
        raise AssertionError(data.findings.notes[-1])


def test_pixels_that_count_from_0(folder):
    (folder / "a.xml").write_text(voc_xml("a.png", [("dog", (0, 0, 10, 8), 0)]))
    (row,) = boxes_of(read_data(folder, ImportOptions(pixels_from=0)).parts["all"])
    assert row[2] == (0, 0, 10, 8)


def test_spellings_of_a_class_are_asked_about(folder):
    boxes = [("RBC", (1, 1, 9, 9), 0)] * 2 + [("rbc", (1, 1, 9, 9), 0)]
    (folder / "a.xml").write_text(voc_xml("a.png", boxes))
    with pytest.raises(InputError, match=r"'rbc' \(1 objects\) and 'RBC' \(2 objects\) differ only by case or spaces"):
        read_data(folder)
    assert read_data(folder, ImportOptions(renamed={"rbc": "RBC"})).count_objects() == {"RBC": 3}
    assert read_data(folder, ImportOptions(renamed={"rbc": "rbc"})).count_objects() == {"RBC": 2, "rbc": 1}


@pytest.mark.parametrize(
    ("counts", "is_asked"),
    [
        ({"Platelets": 300, "Platelet": 2}, True),
        ({"Platelets": 300, "Plateelts": 2}, True),
        ({"Platelets": 300, "Platelete": 2}, True),
        ({"Platelets": 300, "Platelet": 200}, False),  # both are common, as are car and cat
        ({"car": 300, "cat": 2}, False),
        ({"class1": 300, "class2": 2}, False),
        ({"Platelets": 300, "WBC": 2}, False),
    ],
)
def test_one_letter(counts, is_asked):
    if is_asked:
        with pytest.raises(InputError, match="differ by one letter: are they the same"):
            check_class_names(counts, {}, False, "data")
        assert len(check_class_names(counts, {}, True, "data")) == 1  # the data lists its classes: only a note
    else:
        assert check_class_names(counts, {}, False, "data") == []


def test_renamed_classes():
    assert parse_renamed(["a=b", " c = d e "]) == {"a": "b", "c": "d e"}
    for wrong in (["a"], ["a="], ["a=b", "a=c"]):
        with pytest.raises(InputError, match="--rename-class"):
            parse_renamed(wrong)


def test_shapes_of_labelme(folder):
    shapes = [
        shape("disc", [[20, 20], [30, 20]], "circle"),
        shape("box", [[50, 40], [40, 30]], "rectangle"),
        shape("parts", [[0, 0], [4, 0], [4, 4]], group_id=3),
        shape("parts", [[10, 0], [14, 0], [14, 4]], group_id=3),
        shape("pole", [[0, 0], [4, 4]], "line"),
        shape("flat", [[0, 0], [4, 0], [9, 0]]),
        shape("", [[0, 0], [4, 0], [9, 9]]),
        shape("odd", [[0, 0], [4], "x"]),
    ]
    (folder / "a.json").write_text(labelme_json(r"C:\photos\a.png", shapes))
    data = read_data(folder)
    rows = boxes_of(data.parts["all"])
    assert rows == [
        ("a.png", "box", (40, 30, 10, 10), 0),
        ("a.png", "disc", (10, 10, 20, 20), 0),
        ("a.png", "parts", (0, 0, 14, 4), 0),
    ]
    flaws = {key: files["a.json"] for key, files in data.findings.flaws.items()}
    assert flaws == {"not_an_area": 1, "no_area": 1, "no_class": 1, "bad_numbers": 1, "other_path": 1}
    areas = {record["bbox"][0]: record["area"] for record in data.parts["all"]["annotations"]}
    np.testing.assert_allclose(areas[10], np.pi * 100, rtol=0.002)  # 64 corners of the circle


def test_shapes_of_cvat(folder):
    shapes = (
        '<box label="a" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>'
        '<ellipse label="b" cx="40" cy="20" rx="10" ry="5"/>'
        '<polyline label="a" points="1,1;2,2"/><points label="a" points="1,1"/><tag label="a"/>'
        '<polygon label="a" points="1,1;x,2;3,3"/><box label="a" xtl="5" ytl="5" xbr="5" ybr="9"/>'
        '<mask label="a" rle="3,3" left="0" top="0" width="2" height="2"/>'
        '<box label="c" xtl="1" ytl="1" xbr="5" ybr="9"/>'
    )
    (folder / "annotations.xml").write_text(cvat_xml(cvat_image("a.png", shapes), ("b", "a")))
    data = read_data(folder)
    assert data.class_names == {1: "b", 2: "a"}
    rows = boxes_of(data.parts["all"])
    assert rows == [("a.png", "a", (15, 5, 10, 20), 0), ("a.png", "b", (30, 15, 20, 10), 0)]
    flaws = {key: sum(files.values()) for key, files in data.findings.flaws.items()}
    assert flaws == {"rotated": 1, "not_an_area": 2, "bad_numbers": 2, "no_area": 1, "unknown_class": 1}


def test_flaws_of_yolo(folder):
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text("names: [a, b]\n")
    lines = [
        "0 .5 .5 .5 .5",
        "1 .1 .1 .5 .1 .5 .5",
        "7 .5 .5 .1 .1",
        "x",
        "0 .5 .5 -.1 .2",
        "0 .5 .5 nan .2",
        "0 2 2 .1 .1",
    ]
    (folder / "labels/a.txt").write_text("\n".join(lines))
    (folder / "labels/b.txt").write_text("")
    data = read_data(folder)
    rows = boxes_of(data.parts["all"])
    assert rows == [("a.png", "a", (16, 12, 32, 24), 0), ("a.png", "b", (6.4, 4.8, 25.6, 19.2), 0)]
    flaws = {key: dict(files) for key, files in data.findings.flaws.items()}
    label = "labels/a.txt"
    assert flaws == {
        "unknown_class": {label: 1},
        "bad_numbers": {label: 2},
        "no_area": {label: 1},
        "outside": {label: 1},
        "no_labels": {"c.png": 1},
    }
    assert len(data.parts["all"]["images"]) == 3


def test_flaws_of_coco(folder):
    def annotation(number: int, box: list, image: int = 1) -> dict:
        return {"id": number, "image_id": image, "category_id": 3, "bbox": box, "note": "x"}

    images = [{"id": n, "file_name": f"{name}.png", "width": 64, "height": 48} for n, name in ((1, "a"), (2, "z"))]
    boxes = [annotation(1, [1, 1, 5, 5]), annotation(2, [1, 1, 0, 5]), annotation(3, [99, 1, 5, 5])]
    boxes += [annotation(5, [1, 1, 5, 5], 7), annotation(6, [1, 1, None, 5]), {**boxes[0], "id": 7, "category_id": [3]}]
    content = {"images": images, "annotations": [*boxes, annotation(4, [1, 1, 5, 5], 2)]}
    (folder / "x.json").write_text(json.dumps(content | {"categories": [{"id": 3, "name": "nut"}]}))
    with pytest.raises(InputError, match=r"1 file\(s\) cannot be used: z\.png: listed in x\.json, but not in"):
        read_data(folder)
    data = read_data(folder, skip_bad=True)
    assert data.parts["all"]["annotations"] == [annotation(1, [1, 1, 5, 5])]
    assert {key: dict(files) for key, files in data.findings.flaws.items()} == {
        "no_area": {"a.png": 1},
        "outside": {"a.png": 1},
        "no_image": {"x.json": 1},
        "bad_numbers": {"a.png": 1},
        "unknown_class": {"a.png": 1},
    }
    assert data.json_files == {}  # the file cannot be used as it is


def test_table_of_classes(folder):
    (folder / "a.xml").write_text(voc_xml("a.png", [("dog", (1, 1, 9, 9), 0), ("dog", (2, 2, 9, 9), 0)]))
    (folder / "b.xml").write_text(voc_xml("b.png", [("dog", (1, 1, 9, 9), 0), ("cat", (2, 2, 9, 9), 0)]))
    text = format_report(read_data(folder))
    assert "Pascal VOC: 2 XML files with <annotation>" in text
    assert [line.split() for line in text.splitlines()[1:5]] == [
        ["class", "objects", "images"],
        ["cat", "1", "1"],
        ["dog", "3", "2"],
        ["all", "4", "2"],
    ]


@pytest.mark.parametrize(
    "path",
    ["images/{}", "images\\{}", "../../label-studio/media/upload/4/{}", "/data/upload/4/{}", "http://ls:8080/data/{}"],
)
def test_coco_of_label_studio(folder, path):
    """Paths in its storage, names with a hash, ids from 0, an image without a size, empty masks."""
    (folder / "images").mkdir()
    for name in "abc":
        (folder / f"{name}.png").rename(folder / f"images/0a1b2c3d-{name}.png")
    sizes: list[dict] = [{"width": WIDTH, "height": HEIGHT}, {"width": None, "height": None}, {}]
    images = [
        {"id": number, "file_name": path.format(f"0a1b2c3d-{name}.png")} | sizes[number]
        for number, name in enumerate("abc")
    ]
    box = {"category_id": 0, "bbox": [1.5, 2, 10, 10], "segmentation": [], "ignore": 0, "iscrowd": 0, "area": 100}
    annotations = [box | {"id": number, "image_id": number} for number in range(3)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "nut"}], "info": {}}
    (folder / "result.json").write_text(json.dumps(content))
    data = read_data(folder)
    part = data.parts["all"]
    assert [(image["width"], image["height"]) for image in part["images"]] == [(WIDTH, HEIGHT)] * 3
    assert len(part["annotations"]) == 3
    (tmp := folder.parent / "converted").mkdir()
    converted = convert_once(DataRequest(train=str(folder)), tmp, "")["train"]
    records, summary = load_coco_json(converted.json_file, converted.images, "set")
    assert [Path(record["file_name"]).name for record in records] == [f"0a1b2c3d-{name}.png" for name in "abc"]
    assert (summary.class_names, summary.num_annotations) == (("nut",), 3)


def test_a_missing_image_of_coco_is_not_another_one_of_its_name(folder):
    (folder / "other").mkdir()
    (folder / "a.png").rename(folder / "other/a.png")
    images = [
        {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT} for number, name in enumerate("ab")
    ]
    content = {"images": images, "annotations": [], "categories": [{"id": 0, "name": "nut"}]}
    (folder / "all.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"a\.png: listed in all\.json, but not in"):
        read_data(folder)
