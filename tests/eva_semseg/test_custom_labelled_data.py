"""The options --train-data, --val-share, --palette and --unlabelled of semantic segmentation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_labels import write_image, write_labels, write_pairs

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_semseg.custom_data import LabelledData
from eva_semseg.data import SegmentationDataset, read_labels
from eva_semseg.data.palette import read_palette

CONFIG = str(Path(__file__).parents[2] / "projects/SemSeg/configs/ade20k_ss.py")
COLOURS = np.array([(0, 0, 0), (128, 64, 128), (255, 0, 0)], dtype=np.uint8)


def _applied(tmp_path: Path, **data: object):
    cfg = load_config(CONFIG, [f"train.output_dir={tmp_path / 'run'}"])
    values = dict.fromkeys(("train", "val", "val_share", "classes", "palette", "unlabelled")) | data
    LabelledData(**values).apply(cfg, training=True)
    return cfg


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("palette.txt", "0 0 0 void\n128 64 128 road\n255,0,0 car\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nvoid:0,0,0::\nroad:128,64,128::\ncar:255,0,0::\n"),
        ("class_dict.csv", "name,r,g,b\nVoid,0,0,0\nroad,128,64,128\ncar,255,0,0\n"),
        (
            "palette.json",
            '[{"name": "unlabeled", "color": [0,0,0]}, {"name": "road", "color": [128,64,128]},'
            '{"name": "car", "color": [255,0,0]}]',
        ),
    ],
)
def test_forms_of_a_palette(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    values = {(0, 0, 0): 255, (128, 64, 128): 0, (255, 0, 0): 1}
    assert read_palette(tmp_path / name) == (("road", "car"), values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 0 a\n0 0 0 b\n", "lists the colour 0, 0, 0 twice"),
        ("0 0 300 a\n", "is not a class and a colour"),
        ("road\n", "is not a colour and a name"),
        ("0 0 0 void\n", "lists no class"),
    ],
)
def test_palettes_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "palette.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_palette(tmp_path / "palette.txt")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_become_classes(tmp_path, mode):
    indices = np.array([[0, 1, 2], [2, 2, 0]])
    if mode == "P":
        image = Image.fromarray(indices.astype(np.uint8))
        image.putpalette(COLOURS.ravel().tolist())
    else:
        image = Image.fromarray(COLOURS[indices]).convert(mode)
    image.save(tmp_path / "a.png")
    values = {(0, 0, 0): 255, (128, 64, 128): 0, (255, 0, 0): 1}
    labels = read_labels(str(tmp_path / "a.png"), 2, None, values)
    np.testing.assert_array_equal(labels, np.array([255, 0, 1])[indices])
    with pytest.raises(
        InputError, match=r"3 pixels have the colour 255, 0, 0 or another one that the palette does not"
    ):
        read_labels(str(tmp_path / "a.png"), 2, None, {(0, 0, 0): 255, (128, 64, 128): 0})


def test_a_palette_of_the_data(tmp_path):
    for part, names in (("train", "ab"), ("val", "c")):
        for name in names:
            write_image(tmp_path / part / f"images/{name}.jpg")
            colours = COLOURS[np.arange(20 * 30).reshape(20, 30) % 3]
            (tmp_path / part / "masks").mkdir(exist_ok=True)
            Image.fromarray(colours).save(tmp_path / part / f"masks/{name}.png")
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nvoid,0,0,0\nroad,128,64,128\ncar,255,0,0\n")
    cfg = _applied(tmp_path, train=str(tmp_path))
    assert cfg.model.decode_head.num_classes == 2
    test = cfg.dataloader.test.dataset
    assert (test.image_root, test.label_root) == (str(tmp_path / "val/images"), str(tmp_path / "val/masks"))
    dataset = SegmentationDataset(image_root=test.image_root, label_root=test.label_root, palette=test.palette)
    assert dataset.class_names == ("road", "car")


def test_a_share_of_the_images_with_all_classes(tmp_path):
    for number in range(10):
        write_image(tmp_path / f"data/images/{number}.jpg")
        write_labels(tmp_path / f"data/labels/{number}.png", np.full((20, 30), 1 + number % 2))
    (tmp_path / "data/classes.txt").write_text("sky\nroad\n")
    cfg = _applied(tmp_path, train=str(tmp_path / "data"), val_share=0.4, unlabelled=0)
    keys = ("image_root", "label_root", "class_names", "unlabelled", "listing")
    parts = []
    for loader in (cfg.dataloader.train, cfg.dataloader.test):
        parts.append(SegmentationDataset(**{key: loader.dataset[key] for key in keys}))
    assert [len(part) for part in parts] == [6, 4]
    odd = [int(Path(record["file_name"]).stem) % 2 for record in parts[1]]
    assert sum(odd) == 2  # both classes in the same proportions
    labels = read_labels(parts[0][0]["sem_seg_file_name"], 2, None, parts[0][0]["label_values"])
    assert set(np.unique(labels)) <= {0, 1}
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["classes.txt", "images", "labels"]


def test_zero_is_unlabelled(tmp_path):
    folders = write_pairs(tmp_path, ["a"], num_classes=3)
    dataset = SegmentationDataset(**folders, class_names=["sky", "road"], unlabelled=0)
    assert dataset[0]["label_values"] == {1: 0, 2: 1, 0: 255, 255: 255}
    with pytest.raises(InputError, match="palette excludes label_values and unlabelled"):
        SegmentationDataset(**folders, palette="x", unlabelled=0)


def test_folders_that_are_not_found(tmp_path):
    with pytest.raises(InputError, match="has no folders of images and of label maps"):
        _applied(tmp_path, train=str(tmp_path))
    write_pairs(tmp_path, ["a"])
    with pytest.raises(InputError, match=r"has no list of classes; add classes\.txt"):
        _applied(tmp_path, train=str(tmp_path))
