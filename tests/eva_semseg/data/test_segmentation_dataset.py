from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from synthetic_labels import write_image, write_labels, write_pairs

from eva_backbone.errors import InputError
from eva_semseg.data import COCO_STUFF_CLASSES, SegmentationDataset, register_builtin_datasets
from eva_semseg.data.label_folders import pair_files

NAMES = ["sky", "road", "car"]


def test_folders_become_records_sorted_by_name(tmp_path) -> None:
    folders = write_pairs(tmp_path, ["b", "a", "sub/c.v2"])
    images = SegmentationDataset(**folders, class_names=NAMES, num_classes=3)
    assert images.class_names == tuple(NAMES)
    assert [Path(record["file_name"]).name for record in images] == ["a.jpg", "b.jpg", "c.v2.jpg"]
    assert [Path(record["sem_seg_file_name"]).name for record in images] == ["a.png", "b.png", "c.v2.png"]
    assert MetadataCatalog.get(images.name).ignore_label == 255


def test_class_names_from_a_text_file(tmp_path) -> None:
    folders = write_pairs(tmp_path, ["a"])
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    assert SegmentationDataset(**folders, class_names=str(tmp_path / "classes.txt")).class_names == tuple(NAMES)


def test_folders_take_precedence_over_a_registered_data_set(tmp_path) -> None:
    folders = write_pairs(tmp_path, ["a"])
    assert len(SegmentationDataset("coco_stuff164k_train", **folders, class_names=NAMES)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_root": None}, "give all three"),
        ({"class_names": None}, "give all three"),
        ({"class_names": []}, "is empty; give one name per class"),
        ({"class_names": [str(i) for i in range(256)]}, "give 1 to 255"),
        ({"num_classes": 150}, r"3 classes, the model 150; give model.decode_head.num_classes=3"),
        ({"image_root": "/nowhere"}, "no such folder"),
    ],
)
def test_unusable_custom_data(tmp_path, changes, message) -> None:
    folders = write_pairs(tmp_path, ["a"])
    with pytest.raises(InputError, match=message):
        SegmentationDataset(**{**folders, "class_names": NAMES, **changes})


def test_unusable_data_sets() -> None:
    with pytest.raises(InputError, match="no dataset is given"):
        SegmentationDataset()
    with pytest.raises(InputError, match="No dataset is registered as 'ade20k_sem_seg_trian'; did you mean"):
        SegmentationDataset("ade20k_sem_seg_trian")
    DatasetCatalog.register("boxes_alone", list)
    try:
        with pytest.raises(InputError, match="no stuff_classes"):
            SegmentationDataset("boxes_alone")
    finally:
        DatasetCatalog.remove("boxes_alone")
    with pytest.raises(InputError, match="DETECTRON2_DATASETS"):
        SegmentationDataset("ade20k_sem_seg_val")


def test_files_without_a_partner(tmp_path) -> None:
    folders = write_pairs(tmp_path, ["a"])
    write_image(tmp_path / "images/b.jpg")
    write_image(tmp_path / "images/C.jpg")
    write_labels(tmp_path / "labels/c.png", np.zeros((20, 30)))
    expected = r"C\.jpg: no label file C\.png .* so for 2 of 3 images.*; 1 label files have no image, such as .*c\.png"
    with pytest.raises(InputError, match=expected):
        pair_files(**folders)
    (tmp_path / "images/C.jpg").unlink()
    write_labels(tmp_path / "labels/b.png", np.zeros((20, 30)))
    write_image(tmp_path / "images/b.png")
    with pytest.raises(InputError, match="have the same name"):
        pair_files(**folders)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no images"):
        pair_files(tmp_path / "empty", folders["label_root"])


def test_coco_stuff_is_found_under_the_data_root(tmp_path) -> None:
    write_image(tmp_path / "coco/val2017/000000000139.jpg")
    write_labels(tmp_path / "coco_stuff164k/annotations/val2017/000000000139_labelTrainIds.png", np.zeros((20, 30)))
    names = ("coco_stuff164k_train", "coco_stuff164k_val")
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    try:
        register_builtin_datasets(str(tmp_path))
        images = SegmentationDataset("coco_stuff164k_val", num_classes=171)
        assert len(images) == 1
        assert images.class_names == COCO_STUFF_CLASSES
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        register_builtin_datasets("datasets")


def test_the_classes_of_coco_stuff() -> None:
    assert len(set(COCO_STUFF_CLASSES)) == len(COCO_STUFF_CLASSES) == 171
    assert COCO_STUFF_CLASSES[79:81] == ("toothbrush", "banner")
    assert COCO_STUFF_CLASSES[170] == "wood"


def test_labels_without_an_image_are_counted(tmp_path, caplog) -> None:
    folders = write_pairs(tmp_path, ["a", "b", "c"])
    (tmp_path / "images/a.jpg").unlink()
    (tmp_path / "images/c.jpg").unlink()
    assert len(pair_files(**folders)) == 1
    assert f"2 label file(s) have no image and are not used, such as {tmp_path / 'labels/a.png'}" in caplog.text


@pytest.mark.parametrize("folder", ["images", "labels"])
@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".PNG"])
def test_two_files_with_one_stem_are_named(tmp_path, folder, suffix) -> None:
    folders = write_pairs(tmp_path, ["a", "b"])
    name = "a.jpg" if folder == "images" else "a.png"
    write_labels(tmp_path / folder / f"a{suffix}", np.zeros((20, 30)))
    with pytest.raises(InputError, match=r"^\S*/a\.\S+ and \S*/a\.\S+ have the same name; keep one") as error:
        pair_files(**folders)
    for found in (name, f"a{suffix}"):
        assert str(tmp_path / folder / found) in str(error.value)
