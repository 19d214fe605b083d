"""What other programs and `predict --save-as` write is read back: ids, names, crowds, boxes, masks within a pixel."""

import json
from contextlib import ExitStack
from pathlib import Path

import hotcoco
import numpy as np
import pycocotools.mask as mask_util
import pytest
from annotated_data import boxes_of, save_images
from detection_results import IDS, NAMES, make_result, shapes
from PIL import Image
from pycocotools.coco import COCO
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.importing import ImportOptions, read_data
from detectron2_ext.importing.conversion import write_parts
from detectron2_ext.prediction.formats import open_formats
from eva_engine.prediction import Categories, list_inputs


def _content() -> dict:
    content = coco_content()
    content["categories"][1]["id"] = 5  # hotcoco accepts only ids from 0 on
    content["annotations"][1]["category_id"] = 5
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_images(tmp_path / "data")


def test_coco_stays_as_it_is(folder):
    (folder / "boxes.json").write_text(json.dumps(_content()))
    data = read_data(folder)
    assert data.format == "COCO JSON"
    assert data.parts == {"all": _content()}
    assert data.json_files == {"all": folder / "boxes.json"}
    assert (data.findings.flaws, data.findings.bad_files) == ({}, {})


def test_voc_of_hotcoco(folder):
    written = hotcoco.COCO(_content()).to_voc(str(folder))
    data = read_data(folder)
    assert data.format == "Pascal VOC"
    expected = boxes_of(hotcoco.COCO.from_voc(str(folder)).dataset)
    assert len(expected) == written["annotations"] == 4
    assert boxes_of(data.parts["all"]) == expected == boxes_of(_content())


def test_cvat_of_hotcoco(folder):
    hotcoco.COCO(_content()).to_cvat(str(folder / "annotations.xml"))
    data = read_data(folder / "annotations.xml")
    assert data.format == "CVAT"
    expected = hotcoco.COCO.from_cvat(str(folder / "annotations.xml")).dataset
    assert boxes_of(data.parts["all"]) == boxes_of(expected)
    assert list(data.class_names.values()) == [category["name"] for category in expected["categories"]]
    polygons = [record.get("segmentation") for record in data.parts["all"]["annotations"]]
    assert polygons == [record.get("segmentation") for record in expected["annotations"]]
    assert [record["area"] for record in data.parts["all"]["annotations"]] == [
        record["area"] for record in expected["annotations"]
    ]


def test_yolo_of_hotcoco(folder):
    hotcoco.COCO(_content()).to_yolo(str(folder))
    data = read_data(folder)
    assert data.format == "YOLO"
    expected = [row for row in boxes_of(_content()) if not row[3]]  # YOLO has no crowds
    found = boxes_of(data.parts["all"])
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (*_, box, _), (*_, other, _) in zip(found, expected, strict=True):
        np.testing.assert_allclose(box, other, atol=1e-4)
    assert data.class_names == {0: "bolt", 1: "gear", 2: "nut"}


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Two photos, in photos/ and photos/sub/, and the detections in them in all formats."""
    (tmp_path / "photos/sub").mkdir(parents=True)
    for name in ("photos/a.png", "photos/sub/b.png"):
        Image.fromarray(make_result().image).save(tmp_path / name)
    (tmp_path / "out").mkdir()
    return tmp_path


def _export(name: str, exported: Path, masks: bool = True) -> None:
    inputs = list_inputs([exported / "photos"], exported / "out", recursive=True).inputs
    with ExitStack() as stack:
        (add,) = open_formats([name], exported / "out", inputs, Categories(NAMES, IDS), stack)
        for item in inputs:
            add(item, make_result(masks=masks, path=str(item.path)))


def _masks(content: dict) -> list[np.ndarray]:
    """Return the masks of the image sub/b.png, as pycocotools fills them."""
    dataset = COCO()
    dataset.dataset = content
    dataset.createIndex()
    (image_id,) = [image["id"] for image in content["images"] if image["file_name"] == "sub/b.png"]
    return [dataset.annToMask(record).astype(bool) for record in dataset.imgToAnns[image_id]]


def _filled(mask: np.ndarray) -> np.ndarray:
    filled = mask.copy()
    filled[37:44, 52:59] |= mask[40, 50]  # the hole of the ring, which polygons do not have
    return filled


def _check_within_a_pixel(found: np.ndarray, expected: np.ndarray) -> None:
    """Every differing pixel has a neighbour of the other kind."""
    padded = np.pad(expected, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    border = windows.any(axis=(2, 3)) & ~windows.all(axis=(2, 3))
    assert not ((found != expected) & ~border).any()


@pytest.mark.parametrize(
    ("name", "path", "has_ids"),
    [("coco", "coco.json", True), ("coco-polygons", "coco_polygons.json", True), ("labelme", "labelme", False)],
)
def test_exports_with_masks(exported, name, path, has_ids):
    _export(name, exported)
    data = read_data(exported / "out" / path, ImportOptions(images=exported / "photos"))
    content = data.parts["all"]
    assert [image["file_name"] for image in content["images"]] == ["a.png", "sub/b.png"]
    names = [data.class_names[record["category_id"]] for record in content["annotations"]][3:]
    assert names == [NAMES[1], NAMES[0], NAMES[1]]
    assert set(data.class_names) == (set(IDS) if has_ids else {1, 2})
    for found, mask in zip(_masks(content), shapes(), strict=True):
        _check_within_a_pixel(found, mask if name == "coco" else _filled(mask))


def test_export_of_yolo(exported):
    _export("yolo", exported)
    data = read_data(exported / "out/yolo", ImportOptions(images=exported / "photos"))
    content = data.parts["all"]
    assert list(data.class_names.values()) == list(NAMES)
    masks = _masks(content)
    for index in (0, 1):
        _check_within_a_pixel(masks[index], _filled(shapes()[index]))


@pytest.mark.parametrize(("name", "path"), [("csv", "detections.csv"), ("yolo", "yolo"), ("labelme", "labelme")])
def test_exports_of_boxes(exported, name, path):
    _export(name, exported, masks=False)
    data = read_data(exported / "out" / path, ImportOptions(images=exported / "photos"))
    found = [row for row in boxes_of(data.parts["all"]) if row[0] == "sub/b.png"]
    result = make_result()
    expected = []
    for class_id, (x0, y0, x1, y1) in zip(result.class_ids.tolist(), result.boxes.tolist(), strict=True):
        expected.append((NAMES[class_id], (x0, y0, x1 - x0, y1 - y0)))
    assert [row[1] for row in found] == [name for name, _ in sorted(expected)]
    for row, (_, box) in zip(found, sorted(expected), strict=True):
        np.testing.assert_allclose(row[2], box, atol=1e-4)
    if name == "csv":
        assert data.class_names == dict(zip(IDS, NAMES, strict=True))


def test_written_parts_are_read_by_pycocotools_and_hotcoco(folder, tmp_path):
    hotcoco.COCO(_content()).to_cvat(str(folder / "annotations.xml"))
    data = read_data(folder)
    file = write_parts(data, tmp_path / "out")["all"]
    for reader in (COCO(str(file)), hotcoco.COCO(str(file))):
        assert len(reader.getImgIds()) == 3
        assert [record["area"] for record in reader.loadAnns(reader.getAnnIds())] == [100, 400, 256, 100]
    assert not list(folder.glob("*.json"))


def test_masks_of_cvat(folder):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:14, 20:26] = True
    mask[11, 21] = False  # a hole
    window = mask[10:14, 20:26].ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], window, [0]])))
    counts = np.diff(np.concatenate([[0], edges, [window.size]]))
    counts = counts[:-1] if counts[-1] == 0 else counts
    text = ", ".join(map(str, counts))
    image = f'<image id="0" name="a.png" width="{WIDTH}" height="{HEIGHT}"><mask label="nut" rle="{text}" left="20" '
    image += 'top="10" width="6" height="4"/></image>'
    (folder / "x.xml").write_text(f"<annotations><version>1.1</version>{image}</annotations>")
    (record,) = read_data(folder / "x.xml").parts["all"]["annotations"]
    np.testing.assert_array_equal(mask_util.decode(record["segmentation"]).astype(bool), mask)
    assert (record["bbox"], record["area"]) == ([20, 10, 6, 4], 23)
