"""Files in other formats are read back by the tools that they are for."""

import copy
import csv
import json
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
from detection_results import IDS, NAMES, SIZE, make_result, shapes
from PIL import Image
from pycocotools.coco import COCO

from detectron2_ext.prediction.formats import FORMATS, open_formats
from detectron2_ext.prediction.formats.file_names import folder_names
from detectron2_ext.prediction.formats.polygons import mask_polygons
from eva_engine.prediction import Categories, Input, list_inputs
from eva_engine.tasks import all_tasks

CATEGORIES = Categories(NAMES, IDS)


@pytest.fixture
def inputs(tmp_path: Path) -> list[Input]:
    """Two images, in photos/ and photos/sub/."""
    (tmp_path / "photos/sub").mkdir(parents=True)
    for name in ("photos/a.png", "photos/sub/b.png"):
        Image.fromarray(make_result().image).save(tmp_path / name)
    (tmp_path / "out").mkdir()
    return list_inputs([tmp_path / "photos"], tmp_path / "out", recursive=True).inputs


def write(name: str, folder: Path, inputs: list[Input], *, masks: bool = True) -> None:
    with ExitStack() as stack:
        (add,) = open_formats([name], folder / "out", inputs, CATEGORIES, stack)
        for item in inputs:
            add(item, make_result(masks=masks, path=str(item.path)))


def filled(mask: np.ndarray) -> np.ndarray:
    """Return a mask without holes."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED).astype(bool)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def test_the_option_has_every_format():
    (option,) = [option for task in all_tasks() for option in task.output_options if option.flag == "--save-as"]
    assert option.keywords["choices"] == tuple(FORMATS)


def test_polygons_cover_the_pixels_of_the_mask():
    for mask in shapes():
        rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
        polygons = mask_polygons(rle)
        rles = mask_util.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *SIZE)
        np.testing.assert_array_equal(mask_util.decode(mask_util.merge(rles)), filled(mask))
    single = np.zeros(SIZE, np.uint8)
    single[5, 6] = 1
    (polygon,) = mask_polygons(mask_util.encode(np.asfortranarray(single)))
    assert sorted(map(tuple, polygon.tolist())) == [(6.25, 5.25), (6.25, 5.75), (6.75, 5.25), (6.75, 5.75)]
    assert mask_polygons(mask_util.encode(np.asfortranarray(0 * single))) == []


@pytest.mark.parametrize(("name", "file"), [("coco", "coco.json"), ("coco-polygons", "coco_polygons.json")])
def test_coco_is_read_by_pycocotools_and_hotcoco(tmp_path, inputs, name, file):
    hotcoco = pytest.importorskip("hotcoco")
    write(name, tmp_path, inputs)
    document = json.loads((tmp_path / "out" / file).read_text())
    assert document["images"] == [
        {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
        {"id": 2, "file_name": "sub/b.png", "width": 80, "height": 60},
    ]
    dataset = COCO(str(tmp_path / "out" / file))
    results = dataset.loadRes(copy.deepcopy(document["annotations"]))
    for reader in (dataset, results, hotcoco.COCO(str(tmp_path / "out" / file))):
        annotations = reader.loadAnns(reader.getAnnIds(imgIds=[2]))
        assert [annotation["category_id"] for annotation in annotations] == [9, 7, 9]
        assert [reader.loadCats([number])[0]["name"] for number in IDS] == list(NAMES)
        for annotation, mask in zip(annotations, shapes(), strict=True):
            found = np.asarray(reader.annToMask(annotation)).astype(bool)
            np.testing.assert_array_equal(found, mask if name == "coco" else filled(mask))
    first = document["annotations"][0]
    assert (first["id"], first["score"], first["bbox"], first["iscrowd"]) == (1, 0.9, [5, 5, 31, 31], 0)
    assert first["area"] == shapes()[0].sum()


@pytest.mark.parametrize(("name", "file"), [("coco", "coco.json"), ("coco-polygons", "coco_polygons.json")])
def test_coco_is_read_by_supervision(tmp_path, inputs, name, file):
    supervision = pytest.importorskip("supervision")
    write(name, tmp_path, inputs)
    dataset = supervision.DetectionDataset.from_coco(
        str(tmp_path / "photos"), str(tmp_path / "out" / file), force_masks=True
    )
    assert dataset.classes == list(NAMES)
    for _, image, detections in dataset:
        assert image.shape == (*SIZE, 3)
        np.testing.assert_allclose(detections.xyxy, make_result().boxes)
        for found, mask in zip(detections.mask, shapes(), strict=True):
            if name == "coco":
                np.testing.assert_array_equal(found, mask)
            else:  # OpenCV, with which supervision fills polygons, adds a row and a column to each part
                assert iou(found, filled(mask)) > 0.8


def test_boxes_without_masks(tmp_path, inputs):
    for name in FORMATS:
        write(name, tmp_path, inputs, masks=False)
    annotations = json.loads((tmp_path / "out/coco.json").read_text())["annotations"]
    assert annotations[0]["segmentation"] == []
    assert annotations[0]["area"] == 31 * 31
    first = (tmp_path / "out/yolo/labels/a.txt").read_text().splitlines()[0]
    assert first == "1 0.256250 0.341667 0.387500 0.516667"
    shape = json.loads((tmp_path / "out/labelme/a.json").read_text())["shapes"][0]
    assert (shape["shape_type"], shape["points"]) == ("rectangle", [[5, 5], [36, 36]])


def test_a_run_that_stops_keeps_what_is_done(tmp_path, inputs):
    def run():
        with ExitStack() as stack:
            (add,) = open_formats(["coco"], tmp_path / "out", inputs, CATEGORIES, stack)
            add(inputs[0], make_result())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    document = json.loads((tmp_path / "out/coco.json").read_text())
    assert (len(document["images"]), len(document["annotations"])) == (1, 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["coco.json"]


def test_no_images_and_no_objects(tmp_path):
    with ExitStack() as stack:
        (tmp_path / "out").mkdir()
        open_formats(["coco"], tmp_path / "out", [], CATEGORIES, stack)
    document = json.loads((tmp_path / "out/coco.json").read_text())
    assert document["images"] == document["annotations"] == []


def test_csv_has_no_formulas(tmp_path, inputs):
    write("csv", tmp_path, inputs)
    with (tmp_path / "out/detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[0]["image"] == str(tmp_path / "photos/a.png")
    assert [row["category"] for row in rows[:2]] == ["'=dog/../x", "cat"]
    assert [float(rows[0][name]) for name in ("score", "x", "y", "box_width", "box_height")] == [0.9, 5, 5, 31, 31]


def test_yolo_is_read_by_supervision(tmp_path, inputs):
    supervision = pytest.importorskip("supervision")
    write("yolo", tmp_path, inputs[:1])
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(tmp_path / "photos"),
        annotations_directory_path=str(tmp_path / "out/yolo/labels"),
        data_yaml_path=str(tmp_path / "out/yolo/data.yaml"),
    )
    assert dataset.classes == list(NAMES)
    (detections,) = [found for path, _, found in dataset if path.endswith("a.png")]
    assert detections.class_id.tolist() == [1, 0, 1]
    for found, mask in zip(detections.mask[:2], shapes()[:2], strict=True):
        assert iou(found, filled(mask)) > 0.9


def test_labelme(tmp_path, inputs):
    write("labelme", tmp_path, inputs)
    path = tmp_path / "out/labelme/sub/b.json"
    document = json.loads(path.read_text())
    assert (path.parent / document["imagePath"]).resolve() == (tmp_path / "photos/sub/b.png").resolve()
    assert (document["imageHeight"], document["imageWidth"]) == SIZE
    assert [shape["label"] for shape in document["shapes"]] == ["=dog/../x", "cat", "=dog/../x", "=dog/../x"]
    assert [shape["group_id"] for shape in document["shapes"]] == [None, None, 2, 2]
    assert all(len(shape["points"]) >= 3 for shape in document["shapes"])


def test_crops(tmp_path, inputs):
    write("crops", tmp_path, inputs)
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg"))
    assert files == [
        "crops/_dog____x/a_1.jpg",
        "crops/_dog____x/a_3.jpg",
        "crops/_dog____x/sub/b_1.jpg",
        "crops/_dog____x/sub/b_3.jpg",
        "crops/cat/a_2.jpg",
        "crops/cat/sub/b_2.jpg",
    ]
    crop = np.asarray(Image.open(tmp_path / "out/crops/cat/a_2.jpg"))
    assert crop.shape == (25, 25, 3)


def test_folders_of_classes_differ():
    assert folder_names(["a/b", "a?b", "A_B", "", "x" * 200]) == ["a_b", "a_b_1", "A_B_2", "class", "x" * 60]
