"""The mappers equal Detectron2's where those work, and return complete records where those fail."""

import logging
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper, MapDataset, build_detection_train_loader
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, PolygonMasks
from PIL import Image
from pycocotools import mask as mask_api
from synthetic_coco import HEIGHT, WIDTH, coco_content, noise_image

from detectron2_ext.data import EvaluationMapper, TrainingMapper, get_dataset_dicts, register_coco_json
from eva_backbone.errors import InputError


def _jitter(size: int = 40) -> list[T.Augmentation]:
    return [
        T.RandomFlip(horizontal=True),
        T.ResizeScale(min_scale=0.1, max_scale=2.0, target_height=size, target_width=size),
        T.FixedSizeCrop(crop_size=(size, size), pad=False),
    ]


def _mapper(augmentations: list | None = None, **options: object) -> TrainingMapper:
    options = {"image_format": "RGB", "use_instance_mask": True, "recompute_boxes": True} | options
    return TrainingMapper(True, augmentations=_jitter() if augmentations is None else augmentations, **options)


@pytest.fixture
def records(write_coco, dataset_name) -> list[dict]:
    register_coco_json(dataset_name, *write_coco(coco_content()))
    return list(get_dataset_dicts(dataset_name, filter_empty=False))


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
@pytest.mark.parametrize("recompute_boxes", [True, False])
def test_equal_to_detectron2s_mapper(records, mask_format, recompute_boxes):
    options = {"use_instance_mask": True, "recompute_boxes": recompute_boxes, "instance_mask_format": mask_format}
    ours = _mapper(**options)
    theirs = DatasetMapper(True, augmentations=_jitter(), image_format="RGB", **options)
    seen = 0
    for seed in range(20):
        for record in records[:2]:
            np.random.seed(seed)
            one = ours(record)
            np.random.seed(seed)
            other = theirs(record)
            assert torch.equal(one["image"], other["image"])
            one, other = one["instances"], other["instances"]
            assert torch.equal(one.gt_boxes.tensor, other.gt_boxes.tensor)
            assert torch.equal(one.gt_classes, other.gt_classes)
            assert type(one.gt_masks) is type(other.gt_masks)
            boxes = one.gt_boxes.tensor
            assert torch.equal(one.gt_masks.crop_and_resize(boxes, 28), other.gt_masks.crop_and_resize(boxes, 28))
            seen += len(boxes)
    assert seen > 30


def test_the_record_is_not_modified(records):
    before = [polygon.copy() for polygon in records[0]["annotations"][0]["segmentation"]]
    np.random.seed(0)
    for _ in range(5):
        _mapper()(records[0])
    after = records[0]["annotations"][0]["segmentation"]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert set(records[0]) == {"file_name", "height", "width", "image_id", "annotations"}


def test_detectron2s_mapper_still_fails_on_an_image_without_instances(records):
    """If this no longer fails, `TrainingMapper` can be simplified."""
    stock = DatasetMapper(True, augmentations=[], image_format="RGB", use_instance_mask=True, recompute_boxes=True)
    with pytest.raises(AttributeError, match="gt_masks"):
        stock(records[2])


@pytest.mark.parametrize(
    ("mask_format", "mask_type"), [("polygon", PolygonMasks), ("bitmask", BitMasks)], ids=["polygon", "bitmask"]
)
@pytest.mark.parametrize("empty", ["no annotation", "cropped away"])
def test_empty_instances_when_no_object_is_left(records, mask_format, mask_type, empty):
    record = records[2] if empty == "no annotation" else records[0]
    corner = [T.CropTransform(WIDTH - 6, HEIGHT - 6, 6, 6)]  # where the synthetic images have no object
    result = _mapper(corner, instance_mask_format=mask_format)(record)["instances"]
    assert result.image_size == (6, 6)
    assert result.gt_boxes.tensor.shape == (0, 4)
    assert (result.gt_classes.shape, result.gt_classes.dtype) == ((0,), torch.int64)
    assert type(result.gt_masks) is mask_type
    assert len(result.gt_masks) == 0
    if mask_type is BitMasks:
        assert result.gt_masks.tensor.shape == (0, 6, 6)


def test_boxes_follow_the_cropped_mask(records):
    """The right triangle of annotation 102 cut at x = 40: half of it is left, down to y = 30."""
    left = [T.CropTransform(0, 0, 35, HEIGHT)]
    boxes = {
        recompute: _mapper(left, recompute_boxes=recompute)(records[0])["instances"].gt_boxes.tensor[1].tolist()
        for recompute in (True, False)
    }
    assert boxes[False] == [30, 20, 35, 30]
    assert boxes[True] == [30, 20, 35, 25]


@pytest.mark.parametrize("recompute_boxes", [True, False])
def test_boxes_without_masks(records, recompute_boxes):
    for annotation in records[0]["annotations"]:
        annotation.pop("segmentation")
    mapper = _mapper([], use_instance_mask=False, recompute_boxes=recompute_boxes)
    instances = mapper(records[0])["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[8, 8, 24, 24], [30, 20, 50, 30]]
    assert not instances.has("gt_masks")


def test_run_lengths_make_bitmasks(records):
    annotation = records[1]["annotations"][0]
    annotation["iscrowd"] = 0
    instances = _mapper([T.HFlipTransform(WIDTH)])(records[1])["instances"]
    assert isinstance(instances.gt_masks, BitMasks)
    expected = mask_api.decode(annotation["segmentation"])[:, ::-1].copy()
    assert torch.equal(instances.gt_masks.tensor[0], torch.from_numpy(expected).bool())
    assert instances.gt_boxes.tensor[0].tolist() == [49, 10, 59, 20]
    assert instances.gt_classes.tolist() == [2, 1]


def test_crowd_regions_are_dropped(records):
    instances = _mapper([])(records[1])["instances"]
    assert instances.gt_classes.tolist() == [1]
    assert isinstance(instances.gt_masks, PolygonMasks)


@pytest.mark.parametrize(
    ("segmentation", "fragment"),
    [
        (None, "annotation number 1 of this image has no mask, but the mask head needs one"),
        ({"size": [5, 5], "counts": b"0"}, r"annotation number 1 of this image has an RLE of size \[5, 5\], expected"),
    ],
)
def test_unusable_masks(records, segmentation, fragment):
    records[0]["annotations"][1]["segmentation"] = segmentation
    with pytest.raises(InputError, match=fragment):
        _mapper([])(records[0])
    assert _mapper([], on_error="skip")(records[0]) is None


def _truncate(path: Path) -> None:
    noise_image().save(path.with_suffix(".jpg"))
    data = path.with_suffix(".jpg").read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _bomb(path: Path) -> None:
    """A PNG whose header promises 2 x 10^9 pixels."""
    noise_image().save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (50_000).to_bytes(4, "big") + (40_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(bytes(data))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


_BAD_IMAGES = [
    (Path.unlink, "no such image file; check the image folder"),
    (_truncate, "not a readable image .*; replace or remove the file"),
    (lambda path: path.write_bytes(b""), "not a readable image"),
    (lambda path: path.write_text("<html>404</html>"), "not a readable image"),
    (_bomb, "more than 100,000,000 pixels, the limit"),
    (_pipe, "not a regular file; replace it with the image file"),
    (
        lambda path: Image.fromarray(np.full((HEIGHT, WIDTH), 4000, np.uint16)).save(path),
        r"more than 8 bits per channel \(I;16\)",
    ),
    (
        lambda path: noise_image(HEIGHT, WIDTH + 1).save(path),
        "the image has 65x48 pixels, but its annotation says 64x48; correct 'width' and 'height'",
    ),
    (
        lambda path: noise_image(WIDTH, HEIGHT).save(path),
        "the image has 48x64 pixels, but its annotation says 64x48; the two are swapped; exchange 'width' and 'height'",
    ),
]
_BAD_IMAGE_IDS = ["missing", "truncated", "empty", "no image", "bomb", "pipe", "16 bits", "other size", "swapped"]


@pytest.mark.parametrize(("damage", "fragment"), _BAD_IMAGES, ids=_BAD_IMAGE_IDS)
@pytest.mark.parametrize("kind", ["train", "evaluation"])
def test_bad_image_stops(records, damage, fragment, kind):
    damage(Path(records[0]["file_name"]))
    mapper = _mapper() if kind == "train" else EvaluationMapper(augmentations=[], image_format="RGB")
    with pytest.raises(InputError, match=fragment) as caught:
        mapper(records[0])
    assert records[0]["file_name"] in str(caught.value)


@pytest.mark.parametrize(("damage", "fragment"), _BAD_IMAGES, ids=_BAD_IMAGE_IDS)
def test_bad_image_is_skipped_and_another_one_taken(records, damage, fragment, caplog):  # noqa: ARG001
    damage(Path(records[0]["file_name"]))
    mapper = _mapper(on_error="skip")
    data = MapDataset(records, mapper)
    with caplog.at_level(logging.WARNING):
        ids = [data[0]["image_id"] for _ in range(6)]
    assert set(ids) <= {20, 30}
    assert mapper.num_skipped == 1
    assert caplog.text.count("Skipped (1 so far") == 1
    assert records[0]["file_name"] in caplog.text


def test_too_many_bad_images_in_a_row_stop(records):
    for record in records:
        Path(record["file_name"]).unlink()
    data = MapDataset(records * 20, _mapper(on_error="skip"))
    with pytest.raises(InputError, match=r"20 samples in a row could not be used, .* no such image file"):
        data[0]


def test_bad_image_is_evaluated_as_black(records, caplog):
    _truncate(Path(records[0]["file_name"]))
    resize = [T.ResizeShortestEdge(short_edge_length=24, max_size=24)]
    result = EvaluationMapper(augmentations=resize, image_format="RGB", on_error="skip")(records[0])
    assert result["image"].shape == (3, 18, 24)
    assert not result["image"].any()
    assert (result["height"], result["width"]) == (HEIGHT, WIDTH)
    assert "Evaluated as a black image" in caplog.text


def test_inference_mapper_equals_detectron2s(records):
    resize = [T.ResizeShortestEdge(short_edge_length=100, max_size=100)]
    one = EvaluationMapper(False, augmentations=resize, image_format="BGR")(records[0])
    other = DatasetMapper(False, augmentations=resize, image_format="BGR")(records[0])
    assert torch.equal(one.pop("image"), other.pop("image"))
    assert one == other


def test_exif_rotation(records):
    """A photo with EXIF rotation is read, and annotated, as it is displayed."""
    exif = Image.Exif()
    exif[274] = 6
    path = Path(records[0]["file_name"])
    noise_image(WIDTH, HEIGHT).save(path, format="JPEG", exif=exif)
    assert _mapper([])(records[0])["image"].shape == (3, HEIGHT, WIDTH)


def test_an_image_too_thin_to_resize(records):
    path = Path(records[2]["file_name"])
    noise_image(1, 4000).save(path)
    thin = records[2] | {"height": 1, "width": 4000}
    with pytest.raises(InputError, match="4000x1 pixels cannot be augmented"):
        _mapper([T.ResizeShortestEdge(short_edge_length=64, max_size=64)])(thin)


def test_crop_uses_one_random_number_for_both_axes():
    """This is the behaviour of the published augmentation, which a new version of Detectron2 could change."""
    image = np.zeros((140, 260, 3), dtype=np.uint8)
    crop = T.FixedSizeCrop(crop_size=(40, 60), pad=False)
    offsets = [(t.y0 / 100, t.x0 / 200) for _ in range(20) for t in crop.get_transform(image).transforms]
    assert len(set(offsets)) > 10
    assert all(abs(y - x) < 0.01 for y, x in offsets)
    small = crop.get_transform(np.zeros((30, 20, 3), dtype=np.uint8))
    assert small.apply_image(np.zeros((30, 20, 3))).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (
            lambda: _mapper(instance_mask_format="rle"),
            'instance_mask_format is \'rle\', expected "polygon" or "bitmask"',
        ),
        (lambda: _mapper(on_error="never"), "on_error is 'never'"),
        (lambda: TrainingMapper(False, augmentations=[], image_format="RGB"), "use EvaluationMapper"),
        (lambda: EvaluationMapper(True, augmentations=[], image_format="RGB"), "use TrainingMapper"),
    ],
)
def test_wrong_options(make, fragment):
    with pytest.raises(InputError, match=fragment):
        make()


def test_workers_of_a_loader_skip_bad_images(records):
    Path(records[0]["file_name"]).write_bytes(b"")
    loader = build_detection_train_loader(
        records, mapper=_mapper(on_error="skip"), total_batch_size=3, num_workers=2, aspect_ratio_grouping=False
    )
    batches = iter(loader)
    ids = {sample["image_id"] for _ in range(6) for sample in next(batches)}
    assert ids == {20, 30}
