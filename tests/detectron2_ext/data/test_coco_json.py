"""Registering custom COCO-format data: the summary, the records, the evaluators' ground truth."""

import json
import logging

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json as detectron2_load
from pycocotools import mask as mask_api
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import get_dataset_dicts, register_coco_json
from eva_backbone.errors import InputError


def _without(content: dict, *keys: str) -> dict:
    for annotation in content["annotations"]:
        for key in keys:
            annotation.pop(key)
    return content


def test_summary_and_metadata(write_coco, dataset_name):
    summary = register_coco_json(dataset_name, *write_coco(coco_content()))
    assert (summary.num_classes, summary.class_names, summary.category_ids) == (
        3,
        ("bolt", "gear", "nut"),
        (-5, 7, 900),
    )
    assert (summary.num_images, summary.num_empty_images) == (3, 1)
    assert (summary.num_annotations, summary.num_crowd, summary.num_clipped_boxes) == (4, 1, 0)
    assert (summary.has_masks, summary.mask_format, summary.skipped) == (True, "polygon", ())
    metadata = MetadataCatalog.get(dataset_name)
    assert metadata.thing_classes == ["bolt", "gear", "nut"]
    assert metadata.thing_dataset_id_to_contiguous_id == {-5: 0, 7: 1, 900: 2}
    assert metadata.evaluator_type == "coco"
    assert metadata.json_file == summary.json_file


def test_records_equal_detectron2s(write_coco, dataset_name):
    json_file, folder = write_coco(coco_content())
    register_coco_json(dataset_name, json_file, folder)
    expected = detectron2_load(json_file, str(folder), "reference_coco")
    for _ in range(2):  # the second time the file is read anew
        records = DatasetCatalog.get(dataset_name)
        assert [record["image_id"] for record in records] == [10, 20, 30]
        for ours, theirs in zip(records, expected, strict=True):
            assert {key: ours[key] for key in ("file_name", "height", "width", "image_id")} == {
                key: theirs[key] for key in ("file_name", "height", "width", "image_id")
            }
            for one, other in zip(ours["annotations"], theirs["annotations"], strict=True):
                assert (one["bbox"], one["bbox_mode"]) == (other["bbox"], other["bbox_mode"])
                assert (one["category_id"], one["iscrowd"]) == (other["category_id"], other["iscrowd"])
                if isinstance(other["segmentation"], dict):
                    assert np.array_equal(mask_api.decode(one["segmentation"]), mask_api.decode(other["segmentation"]))
                else:
                    assert [p.tolist() for p in one["segmentation"]] == other["segmentation"]
    MetadataCatalog.remove("reference_coco")


@pytest.mark.parametrize(
    ("change", "has_masks", "mask_format"),
    [
        (lambda c: c, True, "polygon"),
        (lambda c: _without(c, "segmentation"), False, "polygon"),
        (lambda c: [a.update(segmentation=[]) for a in c["annotations"]], False, "polygon"),
        (lambda c: c["annotations"][0].pop("segmentation"), False, "polygon"),
        (lambda c: c["annotations"][2].update(iscrowd=0), True, "bitmask"),
        (lambda c: c.update(annotations=[]), False, "polygon"),
    ],
    ids=["all", "none", "empty lists", "one without", "run lengths", "no annotation"],
)
def test_summary_of_masks(write_coco, dataset_name, change, has_masks, mask_format):
    content = coco_content()
    change(content)
    summary = register_coco_json(dataset_name, *write_coco(content))
    assert (summary.has_masks, summary.mask_format) == (has_masks, mask_format)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([-4, -6, 20, 20], [0, 0, 16, 14]),
        ([60, 40, 20, 20], [60, 40, 4, 8]),
        ([-10, -10, 500, 500], [0, 0, WIDTH, HEIGHT]),
    ],
)
def test_box_beyond_the_image_is_clipped(write_coco, dataset_name, box, expected):
    content = coco_content()
    content["annotations"][0]["bbox"] = box
    summary = register_coco_json(dataset_name, *write_coco(content))
    assert summary.num_clipped_boxes == 1
    assert get_dataset_dicts(dataset_name)[0]["annotations"][0]["bbox"] == expected


def test_polygon_beyond_the_image_is_clipped_exactly(write_coco, dataset_name):
    content = coco_content()
    content["annotations"][0]["segmentation"] = [[-20, 0, 20, 20, -20, 40]]
    register_coco_json(dataset_name, *write_coco(content))
    (polygon,) = get_dataset_dicts(dataset_name)[0]["annotations"][0]["segmentation"]
    points = {tuple(point) for point in polygon.reshape(-1, 2).round(9).tolist()}
    assert points == {(0.0, 10.0), (20.0, 20.0), (0.0, 30.0)}


def test_compressed_and_uncompressed_run_lengths_agree(write_coco, dataset_name):
    content = coco_content()
    counts = content["annotations"][2]["segmentation"]["counts"]
    compressed = mask_api.frPyObjects({"size": [HEIGHT, WIDTH], "counts": counts}, HEIGHT, WIDTH)
    content["annotations"][2]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": compressed["counts"].decode()}
    register_coco_json(dataset_name, *write_coco(content))
    mask = get_dataset_dicts(dataset_name, filter_empty=False)[1]["annotations"][0]["segmentation"]
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    expected[10:20, 5:15] = 1
    assert np.array_equal(mask_api.decode(mask), expected)


def test_skip_logs_bad_records_and_keeps_the_rest(write_coco, dataset_name, caplog):
    content = coco_content()
    content["annotations"][0]["category_id"] = 1
    content["annotations"][1]["bbox"] = [1, 1, 0, 5]
    content["images"][0]["file_name"] = "gone.png"  # takes annotations 103 and 104 along
    json_file, folder = write_coco(content)
    with caplog.at_level(logging.WARNING):
        summary = register_coco_json(dataset_name, json_file, folder, on_error="skip")
    assert (summary.num_images, summary.num_annotations) == (2, 0)
    assert [any(name in sentence for sentence in summary.skipped) for name in ("image 20", "n 101", "n 102")] == [
        True
    ] * 3
    assert len(summary.skipped) == 3
    assert f"{json_file}: 3 bad record(s) skipped" in caplog.text


def test_equal_class_names_get_their_ids(write_coco, dataset_name):
    content = coco_content()
    content["categories"][1]["name"] = "nut"
    summary = register_coco_json(dataset_name, *write_coco(content))
    assert summary.class_names == ("nut", "gear", "nut (id 900)")


def test_registering_again_replaces(write_coco, dataset_name):
    register_coco_json(dataset_name, *write_coco(coco_content()))
    content = coco_content()
    content["categories"][0]["name"] = "washer"
    register_coco_json(dataset_name, *write_coco(content))
    assert MetadataCatalog.get(dataset_name).thing_classes == ["bolt", "gear", "washer"]


def test_names_of_built_in_datasets_are_refused(write_coco):
    with pytest.raises(InputError, match=r"'coco_2017_val' is taken"):
        register_coco_json("coco_2017_val", *write_coco(coco_content()))


def test_reading_twice_while_in_use_gives_the_same_list(write_coco, dataset_name):
    register_coco_json(dataset_name, *write_coco(coco_content()))
    first = get_dataset_dicts(dataset_name)
    assert get_dataset_dicts(dataset_name) is first
    assert len(first) == 2
    assert len(get_dataset_dicts(dataset_name, filter_empty=False)) == 3


def test_the_file_may_start_with_a_byte_order_mark(write_coco, dataset_name):
    json_file, folder = write_coco(coco_content())
    json_file.write_text("\ufeff" + json.dumps(coco_content()), encoding="utf-8")
    assert register_coco_json(dataset_name, json_file, folder).num_images == 3
