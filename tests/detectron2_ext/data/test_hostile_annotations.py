"""Annotation files that were made to crash, exhaust or mislead the readers are refused with one sentence."""

import json
import os
import resource
import time

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T
from fuzz.annotations import read, run
from PIL import Image
from pycocotools import mask as mask_api
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import EvaluationMapper, TrainingMapper, get_dataset_dicts
from detectron2_ext.report import draw_image_pairs
from eva_backbone.errors import InputError


@pytest.fixture(autouse=True)
def bounded():
    """At most 10 s of processor time and 2 GB of memory."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2e6


def test_mutated_files():
    run(rounds=200, seed=0)


def _star(reach: float) -> list[float]:
    """Return a polygon of 4,000 long edges that all cross each other."""
    angles = np.arange(4001) * (np.pi + np.pi / 4001)
    return (reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)).round(2).reshape(-1).tolist()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["annotations"][0].update(segmentation=[_star(500)]), "has polygons with an outline of"),
        (lambda c: c["images"][1].update(width=2**31 - 1, height=2**31 - 1), "2147483647x2147483647 pixels, the limit"),
        (lambda c: c["images"][1].update(width=10**5, height=10**5), "has 100000x100000 pixels, the limit is"),
        (lambda c: c["images"][1].update(width=10**8, height=1), "has 100000000x1 pixels, and one side is more than"),
        (
            lambda c: c["annotations"][0].update(segmentation=[[0, 0, 2e9, 0, 2e9, 2e9]]),
            "reaches 2e+09 px, far outside",
        ),
    ],
    ids=["star", "sides", "area", "line", "far"],
)
def test_masks_and_images_out_of_proportion(write_coco, change, sentence):
    content = coco_content()
    change(content)
    json_file, folder = write_coco(content)
    messages = read(json_file, folder)
    assert len(messages) >= 2
    assert all(sentence in message for message in messages)


def test_a_file_of_many_masks_at_the_limit(write_coco):
    content = coco_content()
    record = content["annotations"][0]
    star = _star(100)[: 2 * 4000]
    content["annotations"] = [record | {"id": n, "segmentation": [star]} for n in range(1, 100)]
    messages = read(*write_coco(content))
    assert len(messages) == 2
    assert all("than the file may have" in message for message in messages)


def test_a_polygon_that_crosses_itself_a_million_times_is_cut_in_time(write_coco):
    content = coco_content()
    content["annotations"][0]["segmentation"] = [_star(70)]
    assert read(*write_coco(content)) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"[" * 10**5, b'{"images": ' + b"[" * 10**5, b"\xff\xfe\x00", '{"a": 1}'.encode("utf-16")],
)
def test_other_files(tmp_path, data):
    (tmp_path / "boxes.json").write_bytes(data)
    messages = read(tmp_path / "boxes.json", tmp_path)
    assert len(messages) == 4
    with pytest.raises(InputError):
        draw_image_pairs(tmp_path / "boxes.json", tmp_path, tmp_path / "none.json")


@pytest.mark.parametrize("mapper_class", [TrainingMapper, EvaluationMapper])
def test_an_image_of_one_line_is_one_sentence(tmp_path, mapper_class):
    Image.new("L", (10**5, 1)).save(tmp_path / "line.png")
    record = {"file_name": str(tmp_path / "line.png"), "width": 10**5, "height": 1, "annotations": []}
    augmentations = [T.ResizeShortestEdge(short_edge_length=64, max_size=64)]
    mapper = mapper_class(augmentations=augmentations, image_format="RGB")
    with pytest.raises(InputError, match=r"line\.png: .* cannot be augmented"):
        mapper(record)


def test_registered_datasets_name_images_in_their_folder(tmp_path):
    """The loaders of Detectron2, such as that of LVIS, join any name with the folder."""
    name = "hostile_dataset_of_one_test"
    record = {"file_name": "", "height": HEIGHT, "width": WIDTH, "image_id": 1, "annotations": []}
    (tmp_path / "a.json").touch()
    for file_name in ("../secret.png", "http://example.org/a.png", "/etc/hostname"):
        path = os.path.join(tmp_path, file_name)
        DatasetCatalog.register(name, lambda path=path: [record | {"file_name": path}])
        MetadataCatalog.get(name).set(json_file=str(tmp_path / "a.json"), image_root=str(tmp_path))
        try:
            with pytest.raises(InputError, match="an address or a path outside of the image folder"):
                get_dataset_dicts(name, filter_empty=False)
        finally:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.mark.parametrize("file_name", ["../secret.png", "/etc/hostname", "https://example.org/a.png"])
def test_reports_read_only_images_of_the_folder(tmp_path, file_name):
    content = coco_content()
    content["images"][0]["file_name"] = file_name
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    (tmp_path / "found.json").write_text("[]")
    with pytest.raises(InputError, match="an address or a path outside of the image folder"):
        draw_image_pairs(tmp_path / "boxes.json", tmp_path, tmp_path / "found.json")


def test_many_objects_are_sampled(tmp_path):
    """Of 10,000 objects those in the crop are sampled before their masks are decoded, which would take 5 GB."""
    Image.new("RGB", (800, 600)).save(tmp_path / "many.png")
    mask = mask_api.encode(np.ones((600, 800), dtype=np.uint8, order="F"))
    annotations = [
        {"bbox": [n % 100 * 8, n // 100 * 6, 8, 6], "bbox_mode": 1, "category_id": n % 7, "iscrowd": 0}
        | {"segmentation": mask}
        for n in range(10_000)
    ]
    record = {"file_name": str(tmp_path / "many.png"), "width": 800, "height": 600, "annotations": annotations}
    options = {"image_format": "RGB", "use_instance_mask": True, "max_instances": 50}
    mapper = TrainingMapper(augmentations=[T.CropTransform(100, 60, 80, 60)], **options)
    np.random.seed(0)
    instances = [mapper(record)["instances"] for _ in range(2)]
    for one in instances:
        assert len(one) == 50
        assert (one.gt_boxes.area() > 0).all()
    assert not np.array_equal(instances[0].gt_boxes.tensor, instances[1].gt_boxes.tensor)
    record["annotations"] = annotations[:40]
    all_in = TrainingMapper(augmentations=[], **options)(record)["instances"]
    assert len(all_in) == 40
