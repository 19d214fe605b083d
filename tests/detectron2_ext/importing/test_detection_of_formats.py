"""Formats are recognised by content, with their parts; data that is not is refused with one sentence."""

import json

import pytest
from annotated_data import boxes_of, cvat_image, cvat_xml, labelme_json, save_images, shape, voc_xml
from synthetic_coco import coco_content

from detectron2_ext.importing import ImportOptions, read_data
from eva_backbone.errors import InputError

BOX = ("nut", (1, 1, 10, 10), 0)


def _coco(names: str, folder: str = "") -> str:
    images = [
        {"id": n, "file_name": f"{folder}{name}.png", "width": 64, "height": 48}
        for n, name in enumerate(names, start=1)
    ]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 10, 10]} for n in range(1, len(names) + 1)]
    categories = [{"id": 0, "name": "nuts", "supercategory": "none"}, {"id": 1, "name": "nut", "supercategory": "nuts"}]
    return json.dumps({"info": {}, "images": images, "annotations": boxes, "categories": categories})


def _parts(data) -> dict[str, list[str]]:
    return {part: [image["file_name"] for image in content["images"]] for part, content in data.parts.items()}


@pytest.mark.parametrize("parts", [("train", "valid", "test"), ("tr", "dev", "te"), ("Training", "val", "testing")])
def test_roboflow_coco(tmp_path, parts):
    for part, names in zip(parts, ("ab", "c", "d"), strict=True):
        save_images(tmp_path / part, list(names))
        (tmp_path / part / "_annotations.coco.json").write_text(_coco(names))
    data = read_data(tmp_path)
    assert _parts(data) == {"train": ["a.png", "b.png"], "val": ["c.png"], "test": ["d.png"]}
    assert data.images_of("val") == tmp_path / parts[1]
    assert set(data.json_files) == {"train", "val", "test"}


def test_layout_of_coco(tmp_path):
    (tmp_path / "annotations").mkdir()
    for part, names in (("train", "ab"), ("val", "c")):
        save_images(tmp_path / f"{part}2017", list(names))
        (tmp_path / f"annotations/instances_{part}2017.json").write_text(_coco(names))
        (tmp_path / f"annotations/captions_{part}2017.json").write_text('{"images": [], "annotations": []}')
    data = read_data(tmp_path)
    assert _parts(data) == {"train": ["a.png", "b.png"], "val": ["c.png"]}
    assert data.images_of("train") == tmp_path / "train2017"
    single = read_data(tmp_path / "annotations/instances_val2017.json")
    assert (_parts(single), single.images_of("all")) == ({"all": ["c.png"]}, tmp_path / "val2017")


def test_two_coco_files_of_one_part(tmp_path):
    save_images(tmp_path, ["a"])
    for name in ("x.json", "y.json"):
        (tmp_path / name).write_text(_coco("a"))
    with pytest.raises(InputError, match=r"has the COCO files x\.json and y\.json; give one of them"):
        read_data(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        "train: ../train/images\nval: ../valid/images\nnames: [nut, bolt]\nnc: 2\n",  # as Roboflow writes it
        "path: ../datasets/nuts\ntrain: train/images\nval: valid/images\nnames:\n  0: nut\n  1: bolt\n",
        "tr: train/images\nvalidation: valid/images\nnames: [nut, bolt]\n",
        "names: [nut, bolt]\n",
    ],
)
def test_yolo_with_split_folders(tmp_path, config):
    for part, names in (("train", "ab"), ("valid", "c")):
        save_images(tmp_path / part / "images", list(names))
        (tmp_path / part / "labels").mkdir()
        for name in names:
            (tmp_path / part / f"labels/{name}.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text(config)
    for source in (tmp_path, tmp_path / "data.yaml"):
        data = read_data(source)
        expected = {"train": ["train/images/a.png", "train/images/b.png"], "val": ["valid/images/c.png"]}
        assert _parts(data) == expected
        assert boxes_of(data.parts["val"]) == [("valid/images/c.png", "bolt", (16, 12, 32, 24), 0)]


def test_yolo_lists_and_split_below_images(tmp_path):
    save_images(tmp_path / "images/train", ["a", "b"])
    (tmp_path / "labels/train").mkdir(parents=True)
    (tmp_path / "labels/train/a.txt").write_text("0 0.5 0.5 0.5 0.5 0.9\n")  # a score follows the box
    (tmp_path / "train.txt").write_text("./images/train/a.png\n")
    (tmp_path / "val.txt").write_text("/data/elsewhere/images/train/b.png\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [nut]\n")
    data = read_data(tmp_path)
    assert _parts(data) == {"train": ["images/train/a.png"], "val": ["images/train/b.png"]}
    assert boxes_of(data.parts["train"]) == [("images/train/a.png", "nut", (16, 12, 32, 24), 0)]


def test_layout_of_voc(tmp_path):
    save_images(tmp_path / "JPEGImages")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    for name in "abc":
        (tmp_path / f"Annotations/{name}.xml").write_text(voc_xml(f"{name}.jpg", [BOX]))  # the images are PNG files
    (tmp_path / "ImageSets/Main/train.txt").write_text("c\n")
    (tmp_path / "ImageSets/Main/val.txt").write_text("a -1\n")
    (tmp_path / "ImageSets/Main/nut_train.txt").write_text("b 1\n")
    data = read_data(tmp_path)
    assert _parts(data) == {"train": ["JPEGImages/c.png"], "val": ["JPEGImages/a.png"]}
    listed = read_data(tmp_path, ImportOptions(listing=tmp_path / "ImageSets/Main/nut_train.txt"))
    assert _parts(listed) == {"all": ["JPEGImages/b.png"]}


@pytest.mark.parametrize(
    "header", ["image_path,xmin,ymin,xmax,ymax,label\n", "filename,xmin,ymin,xmax,ymax,class\n", ""]
)
def test_csv(tmp_path, header):
    save_images(tmp_path)
    order = "{0},{1},nut\n{0},5,5,5,9,nut\nb.png,,,,,\n" if header else "{0},{1},nut\n"
    (tmp_path / "boxes.csv").write_text(header + order.format("a.png", "1,2,11,12"))
    data = read_data(tmp_path / "boxes.csv")
    assert data.format == "CSV"
    assert boxes_of(data.parts["all"]) == [("a.png", "nut", (1, 2, 10, 10), 0)]
    assert _parts(data) == {"all": ["a.png", "b.png"] if header else ["a.png"]}


@pytest.mark.parametrize("subsets", [("Train", "Validation"), ("training", "valid"), ("tr", "dev")])
def test_cvat_project_with_subsets(tmp_path, subsets):
    box = '<box label="nut" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    images = ""
    for number, (name, subset) in enumerate(zip("ab", subsets, strict=True)):
        save_images(tmp_path / "images" / subset, [name])
        images += cvat_image(f"{name}.png", box, number).replace("<image ", f'<image subset="{subset}" ')
    (tmp_path / "annotations.xml").write_text(cvat_xml(images, ("nut",)))
    expected = {"train": [f"images/{subsets[0]}/a.png"], "val": [f"images/{subsets[1]}/b.png"]}
    assert _parts(read_data(tmp_path)) == expected


def test_metadata_of_hugging_face(tmp_path):
    objects = {"bbox": [[1, 2, 10, 10], [1, 1, 0, 3]], "categories": ["nut", "nut"]}
    for part, name in (("train", "a"), ("validation", "b")):
        save_images(tmp_path / part, [name])
        row = json.dumps({"file_name": f"{name}.png", "objects": objects})
        (tmp_path / part / "metadata.jsonl").write_text(row + "\n")
    data = read_data(tmp_path)
    assert data.format == "Hugging Face"
    assert _parts(data) == {"train": ["train/a.png"], "val": ["validation/b.png"]}
    assert boxes_of(data.parts["train"]) == [("train/a.png", "nut", (1, 2, 10, 10), 0)]
    assert set(data.findings.flaws) == {"no_area"}


def test_parquet_of_hugging_face(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    save_images(tmp_path / "images", ["a"])
    image = {"bytes": (tmp_path / "images/a.png").read_bytes(), "path": "../../etc/a.png"}
    rows = [{"image": image, "objects": {"bbox": [[1.0, 2.0, 10.0, 10.0]], "category": [1]}}]
    feature = {"feature": {"category": {"_type": "ClassLabel", "names": ["bolt", "nut"]}}}
    metadata = {"huggingface": json.dumps({"info": {"features": {"objects": feature}}})}
    table = pyarrow.Table.from_pylist(rows).replace_schema_metadata(metadata)
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data/train-00000-of-00001.parquet")
    data = read_data(tmp_path / "data", ImportOptions(extracted=tmp_path / "out"))
    assert data.class_names == {0: "bolt", 1: "nut"}
    assert boxes_of(data.parts["train"]) == [("train_0000001.png", "nut", (1, 2, 10, 10), 0)]
    assert (data.image_root / "train_0000001.png").read_bytes() == image["bytes"]


def test_data_that_is_not_known(tmp_path):
    save_images(tmp_path)
    with pytest.raises(InputError, match="has no annotations in a known format"):
        read_data(tmp_path)
    (tmp_path / "tasks.json").write_text('[{"annotations": [{"result": [{"type": "rectanglelabels"}]}]}]')
    with pytest.raises(InputError, match="is an export of Label Studio in its own format; export it there as COCO"):
        read_data(tmp_path)
    (tmp_path / "a.xml").write_text(voc_xml("a.png", [BOX]))
    (tmp_path / "a.json").write_text(labelme_json("a.png", [shape("nut", [[0, 0], [9, 0], [9, 9]])]))
    with pytest.raises(InputError, match=r"several formats, Pascal VOC \(.*\) and LabelMe \(.*--data-format voc"):
        read_data(tmp_path)
    assert read_data(tmp_path, ImportOptions(format="voc")).format == "Pascal VOC"
    with pytest.raises(InputError, match="no such file or folder"):
        read_data(tmp_path / "none")


def test_the_export_of_a_coco_file_is_found_by_its_end(tmp_path):
    save_images(tmp_path)
    content = coco_content()
    text = json.dumps({"licence": "x" * 9000, **content})
    (tmp_path / "boxes.json").write_text(text)
    assert read_data(tmp_path).format == "COCO JSON"
