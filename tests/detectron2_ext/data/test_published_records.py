"""COCO and LVIS are read into tables that have the records of Detectron2's loaders."""

import json
import pickle
from itertools import islice

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import register_coco_instances
from detectron2.data.datasets.lvis import get_lvis_instances_meta, register_lvis_instances
from detectron2.data.samplers import RepeatFactorTrainingSampler
from pycocotools import mask as mask_api
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import get_dataset_dicts, published_records, repeat_factors
from detectron2_ext.data.published_records import table_dataset
from detectron2_ext.data.record_table import SelectedRecords
from eva_backbone.errors import InputError
from eva_engine import json_parts
from eva_engine.data.run_cache import caching_in

_NAMES = {"coco": "coco_of_one_test", "lvis": "lvis_v1_of_one_test"}
_TRIANGLE = [4.5, 4, 9, 4, 6, 12.25]


@pytest.fixture(autouse=True)
def _unregistered():
    yield
    for name in _NAMES.values():
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog:
                catalog.remove(name)


def _coco() -> dict:
    """Return annotations as COCO has them: boxes beyond the image, masks of all kinds, short polygons, no mask."""
    content = coco_content()
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[20:30, 30:50] = 1
    run_lengths = {"size": [HEIGHT, WIDTH], "counts": mask_api.encode(mask)["counts"].decode()}
    masks = [[_TRIANGLE], [_TRIANGLE, [1, 2, 3, 4]], [[1, 2, 3, 4]], run_lengths, [], [[-5, -5, 90, -5, 90, 90]]]
    for number, segmentation in enumerate(masks):
        record = {"id": 500 - number, "image_id": 10, "category_id": 7, "bbox": [-3, 2.5, 80, 4], "iscrowd": 0}
        content["annotations"].append(record | {"segmentation": segmentation, "area": 9})
    del content["annotations"][-1]["segmentation"]
    content["annotations"].append(content["annotations"][4] | {"id": 700, "image_id": 99})
    return content


def _lvis() -> dict:
    """Return annotations of LVIS, which precede the images."""
    annotations, images = [], []
    for number in range(40):
        url = f"http://images.cocodataset.org/{'train' if number % 2 else 'val'}2017/{number:012}.jpg"
        image = {"id": 90 - number, "width": WIDTH, "height": HEIGHT, "coco_url": url}
        images.append(image | {"neg_category_ids": [number + 1, 3], "not_exhaustive_category_ids": [8] * (number % 3)})
        for index in range(number % 4):
            category = 1203 if number == 7 else 5 + index
            record = {"id": 10 * number + index, "image_id": 90 - number, "category_id": category, "area": 2.5}
            annotations.append(record | {"bbox": [0, 0.1, 5, 5], "segmentation": [_TRIANGLE] * (index + 1)})
    del images[-1]["neg_category_ids"]
    categories = [{"id": number, "name": str(number)} for number in range(1, 1204)]
    return {"annotations": annotations, "images": images, "categories": categories}


def _register(kind: str, write_coco, content: dict) -> str:
    json_file, folder = write_coco(content)
    name = _NAMES[kind]
    if kind == "coco":
        register_coco_instances(name, {}, str(json_file), str(folder))
    else:
        register_lvis_instances(name, get_lvis_instances_meta(name), str(json_file), f"{folder}/")
    return name


def _as_lists(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    return [_as_lists(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("kind", "filter_empty", "num_records"),
    [("coco", True, 2), ("coco", False, 3), ("lvis", True, 30), ("lvis", False, 40)],
)
def test_the_records_of_detectron2(tmp_path, write_coco, monkeypatch, kind, filter_empty, num_records):
    name = _register(kind, write_coco, _coco() if kind == "coco" else _lvis())
    expected = get_detection_dataset_dicts(name, filter_empty=filter_empty)
    found = get_dataset_dicts(name, filter_empty)
    assert isinstance(found, SelectedRecords)
    assert _as_lists(list(found)) == expected
    assert len(expected) == num_records
    monkeypatch.setattr(json_parts, "_WINDOW", 300)
    monkeypatch.setattr(json_parts, "_TAIL", 300)
    with caching_in(tmp_path / "run"):
        del found
        found = get_dataset_dicts(name, filter_empty)
    assert found.tables[0].folder is not None
    assert _as_lists(list(pickle.loads(pickle.dumps(found)))) == expected


def test_a_table_is_opened_again(tmp_path, write_coco, monkeypatch):
    reads = []
    first_look = published_records._first_look
    monkeypatch.setattr(published_records, "_first_look", lambda path: reads.append(path) or first_look(path))
    name = _register("coco", write_coco, _coco())
    for _ in range(2):
        with caching_in(tmp_path / "run"):
            assert len(get_dataset_dicts(name)) == 2
    assert len(reads) == 1
    assert MetadataCatalog.get(name).thing_classes == ["bolt", "gear", "nut"]
    assert MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id == {-5: 0, 7: 1, 900: 2}


def test_rare_classes_are_repeated_as_by_detectron2(write_coco):
    name = _register("lvis", write_coco, _lvis())
    stock = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency
    records = get_detection_dataset_dicts(name)
    found = get_dataset_dicts(name)
    for threshold in (0.001, 0.1, 0.9):
        expected = stock(records, threshold)
        assert (repeat_factors(found, threshold) == expected).all()
        assert (repeat_factors(records, threshold) == expected).all()
    assert expected.max() > 2 > expected.min()
    samplers = (RepeatFactorTrainingSampler(factors, seed=3) for factors in (expected, repeat_factors(found, 0.9)))
    orders = [list(islice(sampler, 200)) for sampler in samplers]
    assert orders[0] == orders[1]


def test_datasets_that_have_no_table(write_coco):
    json_file, folder = write_coco(_coco())
    DatasetCatalog.register(_NAMES["coco"], lambda: [{"annotations": []}])
    MetadataCatalog.get(_NAMES["coco"]).set(json_file=str(json_file), image_root=str(folder), evaluator_type="coco")
    for name in (_NAMES["coco"], "keypoints_coco_2017_train", "cityscapes_fine_instance_seg_train"):
        assert table_dataset(name) is None
    for name in ("coco_2017_train", "coco_2014_minival", "lvis_v1_train", "lvis_v0.5_val_cocofied", "objects365_train"):
        assert table_dataset(name) is not None


def test_the_file_of_a_test_set(write_coco):
    content = _coco()
    del content["annotations"]
    name = _register("coco", write_coco, content)
    assert list(get_dataset_dicts(name, False)) == get_detection_dataset_dicts(name, filter_empty=False)


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("coco", {"id": 101}, "annotation 101 is not one of coco_of_one_test (its id is given twice); give the"),
        ("coco", {"category_id": 8}, "annotation 104 is not one of coco_of_one_test (8 is missing or unknown)"),
        ("coco", {"ignore": 1}, "'ignore' is not supported"),
        ("coco", {"bbox": []}, "annotation 104 is not one of"),
        ("coco", {"segmentation": {"size": [1, 2], "counts": [2]}}, "its RLE has size [1, 2], its image has 48 rows"),
        ("lvis", {"category_id": 1204}, "(1204 is missing or unknown)"),
        ("lvis", {"segmentation": [_TRIANGLE, [1, 2]]}, "it has a polygon of fewer than three points, or none"),
        ("lvis", {"segmentation": []}, "it has a polygon of fewer than three points, or none"),
    ],
)
def test_a_bad_annotation_is_an_error(write_coco, kind, changes, sentence):
    content = coco_content() if kind == "coco" else _lvis()
    content["annotations"][-1].update(changes)
    name = _register(kind, write_coco, content)
    with pytest.raises(InputError) as caught:
        get_dataset_dicts(name)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(MetadataCatalog.get(name).json_file)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"file_name": "../a.png"}, "an address or a path outside of the image folder"),
        ({"width": 0}, "image 30 is not one of coco_of_one_test (has size 0x48); give the annotation file"),
        ({"id": "x"}, "an image has id 'x'; give every image an integer id"),
    ],
)
def test_a_bad_image_is_an_error(write_coco, changes, sentence):
    content = coco_content()
    content["images"][-1].update(changes)
    name = _register("coco", write_coco, content)
    with pytest.raises(InputError) as caught:
        get_dataset_dicts(name)
    assert sentence in str(caught.value)
    assert str(caught.value).count("give the annotation file") <= 1


def test_other_content_than_that_of_coco(write_coco):
    name = _register("coco", write_coco, {})
    json_file = MetadataCatalog.get(name).json_file
    for content, sentence in (({"images": 3}, "'images' is not a list"), ([], "holds a JSON list"), ({}, "has no")):
        with open(json_file, "w") as file:
            json.dump(content, file)
        with pytest.raises(InputError, match=sentence):
            get_dataset_dicts(name)
