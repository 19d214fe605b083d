"""Files that follow another convention than COCO's are read where that is exact, and reported where it is not."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import get_dataset_dicts, load_coco_json, register_coco_json
from eva_backbone.errors import InputError
from eva_engine.data_check.findings import Severity


def _content() -> dict:
    """Twelve objects of two classes, all with polygons."""
    images = [{"id": n, "file_name": f"{'abcdef'[n - 1]}.png", "width": WIDTH, "height": HEIGHT} for n in range(1, 7)]
    annotations = []
    for n in range(1, 7):
        for category, (x, y) in ((1, (4 + n, 6 + n)), (2, (38 - n, 20 + n))):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": n,
                    "category_id": category,
                    "bbox": [x, y, 20, 15],
                    "area": 300,
                }
                | {"iscrowd": 0, "segmentation": [[x, y, x + 20, y, x + 20, y + 15, x, y + 15]]}
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "bright"}, {"id": 2, "name": "grey"}],
    }


def _each(change) -> dict:
    content = _content()
    for annotation in content["annotations"]:
        change(annotation)
    return content


def _corners(annotation: dict) -> None:
    x, y, w, h = annotation["bbox"]
    annotation.update(bbox=[x, y, x + w, y + h], segmentation=[])


def _fractions(annotation: dict) -> None:
    x, y, w, h = annotation["bbox"]
    annotation.update(bbox=[x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT], segmentation=[])


def _wide(annotation: dict) -> None:
    if annotation["id"] % 2:
        annotation["bbox"][0] -= 10


def _far_polygon(annotation: dict) -> None:
    annotation["segmentation"] = [[50, 2, 62, 2, 62, 9, 50, 9]]


def _far_run_lengths(annotation: dict) -> None:
    annotation["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH - 30, 30]}


def _rounded(annotation: dict) -> None:
    annotation["bbox"] = [value + 0.4 for value in annotation["bbox"]]
    annotation["segmentation"][0][0] -= 0.4


def _crowd(annotation: dict) -> None:
    if annotation["category_id"] == 2:
        annotation["iscrowd"] = 1


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            _corners,
            ["6 of 12 boxes extend beyond their image and are cut at the border; they look like corners [x0, y0"],
        ),
        (_fractions, ["12 of 12 boxes are not larger than one pixel; they look like fractions of the image size"]),
        (
            _wide,
            ["4 of 12 boxes extend beyond their image and are cut at the border; correct those"],
        ),
        (_far_polygon, ["12 of 12 masks lie mostly outside of their box"]),
        (_far_run_lengths, ["12 of 12 masks lie mostly outside of their box"]),
        (_crowd, ["6 of 12 annotations are crowd regions (iscrowd 1), which are not trained on", "(grey 6 of 6)"]),
        (_rounded, []),
    ],
)
def test_warnings(write_coco, caplog, change, sentences):
    load_coco_json(*write_coco(_each(change)), "test")
    for sentence in sentences:
        assert sentence in caplog.text
    assert len(caplog.records) == bool(sentences)


def test_a_few_crowd_regions_are_usual(write_coco, caplog):
    content = _content()
    content["annotations"][0]["iscrowd"] = 1
    load_coco_json(*write_coco(content), "test")
    assert not caplog.records


def test_root_category(write_coco, caplog, dataset_name):
    content = _content()
    for category in content["categories"]:
        category["supercategory"] = "cells"
    content["categories"].append({"id": 0, "name": "cells", "supercategory": "none"})
    json_file, folder = write_coco(content)
    assert register_coco_json(dataset_name, json_file, folder).class_names == ("cells", "bright", "grey")
    (record,) = caplog.records
    assert "the category 'cells' has no annotations and is the supercategory of 2 others" in record.getMessage()
    caplog.clear()
    summary = register_coco_json(dataset_name, json_file, folder, leave_out=["cells", "unknown"])
    assert (summary.class_names, summary.left_out) == (("bright", "grey"), ("cells",))
    for _ in range(2):  # the second time the file is read anew
        assert get_dataset_dicts(dataset_name)[0]["annotations"][0]["category_id"] == 0
    assert not caplog.records
    with pytest.raises(InputError, match=r"the category 'grey' has annotations, so it cannot be left out"):
        load_coco_json(json_file, folder, "test", leave_out=["grey"])


def test_polygons_that_are_left_out_are_counted(write_coco, caplog):
    content = _content()
    content["annotations"][0]["segmentation"].append([1, 2])
    content["annotations"][5]["segmentation"].append([1, 2, 3, 4])
    table, _ = load_coco_json(*write_coco(content), "test")
    (record,) = caplog.records
    assert "2 polygons have fewer than three points and are left out of their masks" in record.getMessage()
    assert [len(annotation["segmentation"]) for annotation in table[0]["annotations"]] == [1, 1]


def test_names_of_more_than_one_category(write_coco, caplog):
    content = _content()
    content["categories"].append({"id": 3, "name": "grey "})
    _, summary = load_coco_json(*write_coco(content), "test")
    (record,) = caplog.records
    assert "more than one category has the name 'grey'; they stay separate classes" in record.getMessage()
    assert summary.class_names == ("bright", "grey", "grey (id 3)")


def test_image_files_with_several_ids(write_coco, caplog, dataset_name):
    content = _content()
    content["images"][3]["file_name"] = "./a.png"
    content["images"][5]["file_name"] = "b.png"
    summary = register_coco_json(dataset_name, *write_coco(content))
    (record,) = caplog.records
    assert "2 image files are listed several times, such as a.png with the ids 1 and 4; join" in record.getMessage()
    assert (summary.num_images, summary.findings[0].count) == (6, 2)


def _swap(images: list[dict]) -> None:
    for image in images:
        image.update(width=image["height"], height=image["width"])


@pytest.mark.parametrize("num_swapped", [1, 6])
def test_swapped_sides(write_coco, caplog, num_swapped):
    content = _content()
    _swap(content["images"][:num_swapped])
    _, summary = load_coco_json(*write_coco(content), "test", on_error="skip")
    sentence = (
        f"{num_swapped} of 6 images whose headers were read have width and height swapped, such as a.png, listed as "
        f"{HEIGHT}x{WIDTH}; exchange 'width' and 'height'"
    )
    assert sentence in caplog.text
    found = {finding.code: finding for finding in summary.findings}["swapped-sides"]
    assert (found.severity, found.count) == (Severity.ERROR, num_swapped)


def test_sides_of_few_images_are_read(write_coco, monkeypatch):
    content = _content()
    content["images"] = [image | {"id": n} for n in range(1, 500) for image in content["images"][:1]]
    read = []
    monkeypatch.setattr("detectron2_ext.data.coco_images.read_size", lambda path: read.append(path) or (WIDTH, HEIGHT))
    load_coco_json(*write_coco(content), "test")
    assert len(read) == 20


def _equal_records(one: list[dict], other: list[dict]) -> bool:
    texts = [json.dumps(list(records), default=np.ndarray.tolist) for records in (one, other)]
    return json.loads(texts[0], parse_int=float) == json.loads(texts[1], parse_int=float)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(segmentation=a["segmentation"][0]),
        lambda a: a["segmentation"].append([]),
        lambda a: a.update(id=float(a["id"]), image_id=float(a["image_id"]), category_id=float(a["category_id"])),
        lambda a: a.update(area=-a["area"]),
        lambda a: a.pop("bbox"),
        lambda a: a.update(bbox=None),
    ],
    ids=["flat polygon", "empty polygon", "float ids", "negative area", "no box", "null box"],
)
def test_other_spellings(write_coco, change):
    expected, expected_summary = load_coco_json(*write_coco(_content()), "test")
    found, summary = load_coco_json(*write_coco(_each(change)), "test")
    assert _equal_records(found, expected)
    assert summary == expected_summary


@pytest.mark.parametrize("empty", [None, [], {}, [[]], [[], []]])
def test_empty_masks_are_no_masks(write_coco, empty):
    found, summary = load_coco_json(*write_coco(_each(lambda a: a.update(segmentation=empty))), "test")
    expected, _ = load_coco_json(*write_coco(_each(lambda a: a.pop("segmentation"))), "test")
    assert _equal_records(found, expected)
    assert not summary.has_masks


def test_float_sides(write_coco):
    content = _content()
    for image in content["images"]:
        image.update(id=float(image["id"]), width=float(WIDTH), height=float(HEIGHT))
    dicts, _ = load_coco_json(*write_coco(content), "test")
    assert next((item["image_id"], item["width"], item["height"]) for item in dicts) == (1, WIDTH, HEIGHT)


def test_backslashes_separate_folders_if_the_file_exists_that_way(write_coco):
    json_file, folder = write_coco(coco_content())
    (folder / "photos").mkdir()
    (folder / "a.png").rename(folder / "photos" / "a.png")
    (folder / "b.png").rename(folder / r"photos\b.png")
    content = coco_content()
    for image in content["images"][:2]:
        image["file_name"] = "photos\\" + image["file_name"]
    json_file.write_text(json.dumps(content))
    dicts, _ = load_coco_json(json_file, folder, "test")
    assert [item["file_name"] for item in dicts[:2]] == [f"{folder}/photos/a.png", f"{folder}/photos\\b.png"]


@pytest.mark.parametrize(
    "file_name",
    [
        "https://example.org/a.png",
        "s3://bucket/a.png",
        "../images/a.png",
        "sub/../../images/a.png",
        "..\\images\\a.png",
        "/etc/hostname",
        "{folder}/../images/a.png",
    ],
)
@pytest.mark.parametrize("empty_root", [False, True])
def test_addresses_and_paths_outside_of_the_folder_are_refused(write_coco, monkeypatch, file_name, empty_root):
    content = coco_content()
    json_file, folder = write_coco(content)
    content["images"][0]["file_name"] = file_name.format(folder=folder)
    json_file.write_text(json.dumps(content))
    monkeypatch.chdir(folder)
    with pytest.raises(
        InputError, match=r"image 20 has file_name .*, an address or a path outside of the image folder"
    ):
        load_coco_json(json_file, "" if empty_root else folder, "test")


def test_links_in_the_folder_and_absolute_paths_into_it_are_followed(write_coco, tmp_path):
    json_file, folder = write_coco(coco_content())
    (tmp_path / "link").symlink_to(folder)
    (folder / "elsewhere").symlink_to(tmp_path)
    content = coco_content()
    content["images"][0]["file_name"] = "elsewhere/images/b.png"
    content["images"][1]["file_name"] = str(tmp_path / "link" / "a.png")
    json_file.write_text(json.dumps(content))
    dicts, _ = load_coco_json(json_file, tmp_path / "link", "test")
    assert all(Path(item["file_name"]).is_file() for item in dicts)


def test_a_polygon_that_crosses_itself_is_cut_exactly(write_coco):
    points = [-10, 5, 30, 35, 30, 5, -10, 35]
    content = copy.deepcopy(coco_content())
    content["annotations"][0].update(bbox=[-10, 5, 40, 30], segmentation=[points])
    dicts, _ = load_coco_json(*write_coco(content), "test")
    mask = dicts[0]["annotations"][0]["segmentation"]
    found = mask_api.decode(mask_api.merge(mask_api.frPyObjects([p.tolist() for p in mask], HEIGHT, WIDTH)))
    shifted = [[value + 20 for value in points]]
    canvas = mask_api.decode(mask_api.merge(mask_api.frPyObjects(shifted, HEIGHT + 40, WIDTH + 40)))
    expected = canvas[20 : HEIGHT + 20, 20 : WIDTH + 20]
    assert (found & expected).sum() / (found | expected).sum() > 0.98  # one row of pixels is 1 %
