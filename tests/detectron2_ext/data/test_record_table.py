"""Tables of records: what is computed from their columns equals what Detectron2 computes from dicts."""

import gc
import weakref

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from synthetic_coco import coco_content

from detectron2_ext.data import get_dataset_dicts, load_coco_json, register_coco_json
from detectron2_ext.data.box_statistics import box_statistics
from detectron2_ext.data.mask_bytes import decode_mask, encode_mask
from detectron2_ext.data.record_table import RecordTable, SelectedRecords
from detectron2_ext.data_check.object_table import ObjectTable
from eva_engine.data.batching import aspect_groups


@pytest.fixture
def names(write_coco):
    """Two registered sets: of three images, one with only a crowd region and one empty; and of one image."""
    content = coco_content()
    content["annotations"] = [record for record in content["annotations"] if record["id"] != 104]
    register_coco_json("first of two", *write_coco(content))
    content["images"], content["annotations"] = content["images"][1:2], content["annotations"][:1]
    register_coco_json("second of two", *write_coco(content))
    yield ["first of two", "second of two"]
    for name in ("first of two", "second of two"):
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.mark.parametrize("filter_empty", [True, False])
def test_the_same_records_as_detectron2(names, filter_empty):
    expected = get_detection_dataset_dicts(names, filter_empty=filter_empty)
    found = get_dataset_dicts(names, filter_empty)
    assert isinstance(found, SelectedRecords)
    assert len(found) == (2 if filter_empty else 4)
    assert str(list(found)) == str(expected)
    assert str(found[-1]) == str(expected[-1])
    assert str(found[:2]) == str(expected[:2])
    with pytest.raises(IndexError):
        found[len(found)]


def test_columns_equal_records(names):
    found = get_dataset_dicts(names, filter_empty=False)
    records = list(found)
    assert aspect_groups(found) == aspect_groups(records)
    one, other = box_statistics(found), box_statistics(records)
    for name in ("image_sizes", "box_sizes", "image_of_box"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    tables = [DatasetCatalog.get(name) for name in names]
    one, other = ObjectTable.from_parts(tables, ("a",)), ObjectTable.from_dicts(records, ("a",))
    for name in ("image", "category", "boxes", "num_crowd", "sizes"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert [record["file_name"] for record in one.images] == [record["file_name"] for record in records]


def test_a_record_belongs_to_its_reader(names):
    table = DatasetCatalog.get(names[0])
    assert isinstance(table, RecordTable)
    record = table[0]
    expected = str(record)
    record["annotations"][0]["bbox"][0] = -1
    record["annotations"][0]["segmentation"][0][:] = 0
    record["annotations"].clear()
    assert str(table[0]) == expected


@pytest.mark.parametrize(
    "mask",
    [
        [np.array([0, 1, 2.5, 3, 4, 5]), np.arange(8.0)],
        {"size": [4, 6], "counts": b"PPY2"},
        {"size": [4, 6], "counts": "PPY2"},
    ],
)
def test_masks_as_bytes(mask):
    assert str(decode_mask(encode_mask(mask), 4, 6)) == str(mask)


def test_boxes_are_checked_together_as_one_by_one(write_coco):
    """An empty polygon is no mask, but makes an annotation one that is checked alone."""
    content = coco_content()
    boxes = [[-3, 2.5, 10, 4], [60, 40, 10, 20.5], [1, 1, 0.5, 1], [3, 4, 20, 30], [0, 0, 64, 48], [-9, 0, 9, 4]]
    content["annotations"] = [
        {"id": number, "image_id": 10, "category_id": 7, "bbox": box, "iscrowd": int(number % 3 == 2)}
        for number, box in enumerate(boxes * 2)
    ]
    together = load_coco_json(*write_coco(content), "set", on_error="skip")
    for record in content["annotations"]:
        record["segmentation"] = [[]]
    alone = load_coco_json(*write_coco(content), "set", on_error="skip")
    assert list(together[0]) == list(alone[0])
    assert together[0][0]["annotations"][0]["bbox"] == [0, 2.5, 7, 4]
    for one, other in zip(together[1].findings, alone[1].findings, strict=True):
        assert one.sentence == other.sentence
        assert [str(example) for example in one.examples] == [str(example) for example in other.examples]
    assert together[1].skipped == alone[1].skipped
    assert together[1].num_clipped_boxes == alone[1].num_clipped_boxes == 4
    assert len(together[1].skipped) == 2


def test_records_in_use_are_not_those_of_a_later_dataset_of_the_same_name(write_coco, dataset_name):
    json_file, folder = write_coco(coco_content())
    register_coco_json(dataset_name, json_file, folder)
    records = get_dataset_dicts(dataset_name)
    loader = weakref.ref(DatasetCatalog[dataset_name])
    register_coco_json(dataset_name, json_file, folder)
    gc.collect()
    # Otherwise the next loader could get its id, by which records in use are found.
    assert loader() is not None
    assert get_dataset_dicts(dataset_name) is not records
    del records
    gc.collect()
    assert loader() is None
