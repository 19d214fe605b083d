"""The same file gives the same pixels, those of Pillow, in the training, evaluation and prediction of every task."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image, ImageOps, PngImagePlugin

import eva_classification.data as classification
import eva_clip.data as clip
import eva_semseg.data.mapper as segmentation
from detectron2_ext.data import mapper as detection
from detectron2_ext.prediction.task import DetectionFileTask
from eva_backbone.errors import InputError
from eva_classification.prediction import ClassificationFileTask
from eva_clip.prediction.task import ClipFileTask
from eva_engine.config import load_config
from eva_engine.data import read_rgb_image
from eva_engine.prediction import Input
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.trained_model import applies_exif_orientation
from eva_semseg.data.label_file import read_labels
from eva_semseg.prediction.task import SegmentationFileTask
from eva_video.data.frame_folder import read_frame_folder

WIDTH, HEIGHT = 14, 10
STORED = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
SHOWN = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: np.rot90,
}
LOSSLESS = {"WEBP": {"lossless": True}}
TAGGED = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "MPO": ("RGB",),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("L", "RGB", "RGBA"),
}
UNTAGGED = {
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P", "RGB"),
    "PPM": ("1", "L", "RGB"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
}
TAGGED_CASES = [(name, mode) for name, modes in TAGGED.items() for mode in modes]
UNTAGGED_CASES = [(name, mode) for name, modes in UNTAGGED.items() for mode in modes]


def encode(image_format: str, mode: str, orientation: int, **options: object) -> bytes:
    image = Image.fromarray(STORED)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(STORED[..., 0]))
    exif = Image.Exif()
    exif[274] = orientation
    stream = io.BytesIO()
    options |= LOSSLESS.get(image_format, {})
    image.convert(mode).save(stream, image_format, **options, **({"exif": exif} if orientation > 1 else {}))
    return stream.getvalue()


def pillow(content: bytes) -> np.ndarray:
    """The reference reads from memory: Pillow's own mapping of uncompressed TIFF files mixes up turned ones."""
    with Image.open(io.BytesIO(content)) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def to_tensor(image: Image.Image | np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(image).transpose(2, 0, 1))


class PixelPredictor(ImagePredictor):
    """A predictor without a model, which reading does not need."""

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        return ImageSample(path, image, image.shape[:2], to_tensor(image))

    def predict(self, samples):
        raise NotImplementedError


def read_everywhere(path: Path, size: tuple[int, int], option: bool = True) -> dict[str, np.ndarray]:
    """Read an image by every task and verb; as [3, H, W], or [H, W, 3].

    Args:
        path: The image.
        size: (height, width) as displayed.
        option: `apply_exif_orientation` of classification and EVA-CLIP.
    """
    name = str(path)
    pixels = {"sixth task": read_rgb_image(name), "stream": read_rgb_image(io.BytesIO(path.read_bytes()), name)}
    record = {"file_name": name, "height": size[0], "width": size[1], "annotations": []}
    for mapper in (detection.TrainingMapper, detection.EvaluationMapper):
        mapped = mapper(augmentations=[], image_format="BGR")(dict(record))
        pixels[f"detection {mapper.__name__}"] = mapped["image"].numpy()[::-1]

    (path.parent / "labels.png").write_bytes(b"")
    Image.new("L", size[::-1]).save(path.parent / "labels.png")
    record = {"file_name": name, "sem_seg_file_name": str(path.parent / "labels.png")}
    train = segmentation.TrainingMapper([], size=size, pixel_mean=(0, 0, 0), pixel_std=(1, 1, 1), num_classes=1)
    pixels["segmentation training"] = train(record)["image"]
    pixels["segmentation evaluation"] = segmentation.EvaluationMapper(lambda image: image)(record)["views"]

    labelled = {"file_name": name, "read": lambda: (path.open("rb"), 0)}
    captioned = {"file_name": name, "read": lambda: (io.BytesIO(path.read_bytes()), ["a shard"])}
    options = {"apply_exif_orientation": option}
    pixels["classification training"] = classification.TrainingMapper(to_tensor, **options)(labelled)["image"]
    pixels["classification evaluation"] = classification.EvaluationMapper(to_tensor, **options)(labelled)["image"]
    tokenizer = SimpleNamespace(tokenize=lambda texts: (torch.zeros(len(texts), 1), [0]))
    pixels["CLIP training"] = clip.TrainingMapper(to_tensor, tokenizer, **options)(captioned)["image"]

    pixels["frames"] = read_frame_folder(str(path.parent), path.name, lambda _: [0], num_frames=1).frames[0]
    for task_class in (DetectionFileTask, SegmentationFileTask, ClassificationFileTask, ClipFileTask):
        predictor = PixelPredictor()
        predictor.apply_exif_orientation = option
        sample = task_class(predictor).read(Input(path, "image", path.stem))
        pixels[task_class.__name__] = np.asarray(sample.inputs)
    return pixels


def assert_all_equal(found: dict[str, np.ndarray], expected: np.ndarray) -> None:
    for reader, image in found.items():
        if image.shape[0] == 3 and image.ndim == 3 and image.shape[2] != 3:
            image = image.transpose(1, 2, 0)
        np.testing.assert_array_equal(image, expected, err_msg=reader)


@pytest.mark.parametrize(("image_format", "mode"), TAGGED_CASES + UNTAGGED_CASES)
def test_every_reader_gives_the_pixels_of_pillow(tmp_path, image_format, mode):
    for orientation in SHOWN if image_format in TAGGED else (1,):
        content = encode(image_format, mode, orientation)
        (tmp_path / "image").write_bytes(content)
        expected = pillow(content)
        if image_format in ("PNG", "TIFF", "WEBP") and mode == "RGB":  # without Pillow as the reference
            np.testing.assert_array_equal(expected, SHOWN[orientation](STORED))
        assert_all_equal(read_everywhere(tmp_path / "image", expected.shape[:2]), expected)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_compressed_tiff(tmp_path, compression):
    for orientation in SHOWN:
        content = encode("TIFF", "RGB", orientation, compression=compression)
        (tmp_path / "image.tif").write_bytes(content)
        assert_all_equal(read_everywhere(tmp_path / "image.tif", pillow(content).shape[:2]), pillow(content))


@pytest.mark.parametrize(("image_format", "mode"), TAGGED_CASES)
def test_the_option_reads_the_pixels_as_they_are_stored(tmp_path, image_format, mode):
    content = encode(image_format, mode, orientation=6)
    (tmp_path / "image").write_bytes(content)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.array(image.convert("RGB"))
    found = read_everywhere(tmp_path / "image", pillow(content).shape[:2], option=False)
    with_option = ("classification", "CLIP", "ClassificationFileTask", "ClipFileTask")
    chosen = {name: pixels for name, pixels in found.items() if name.startswith(with_option)}
    assert len(chosen) == 5
    assert_all_equal(chosen, expected)


@pytest.mark.parametrize("transparency", [3, bytes(range(256))])
def test_transparent_palettes_and_tags_in_xmp(tmp_path, transparency):
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    stream = io.BytesIO()
    Image.fromarray(STORED).convert("P").save(stream, "PNG", transparency=transparency, pnginfo=text)
    (tmp_path / "image").write_bytes(stream.getvalue())
    with Image.open(stream) as image:
        expected = np.rot90(np.array(image.convert("RGB")), -1)
    np.testing.assert_array_equal(pillow(stream.getvalue()), expected)
    assert_all_equal(read_everywhere(tmp_path / "image", expected.shape[:2]), expected)


def test_the_first_frame_is_read(tmp_path):
    image, other = Image.fromarray(STORED).convert("P"), Image.new("P", (WIDTH, HEIGHT))
    for image_format in ("GIF", "TIFF", "PNG", "WEBP"):
        options = LOSSLESS.get(image_format, {})
        image.save(tmp_path / "image", image_format, save_all=True, append_images=[other, other], **options)
        expected = np.array(image.convert("RGB"))
        assert_all_equal(read_everywhere(tmp_path / "image", (HEIGHT, WIDTH)), expected)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_are_turned_as_images_are(tmp_path, image_format, mode, orientation):
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % (2 if mode == "1" else 200)
    image = Image.fromarray(values.astype(bool if mode == "1" else np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "labels", image_format, exif=exif)
    expected = SHOWN[orientation](values)
    np.testing.assert_array_equal(read_labels(str(tmp_path / "labels"), 255, expected.shape), expected)
    if orientation > 4:
        with pytest.raises(InputError, match="both turned by their orientation tags"):
            read_labels(str(tmp_path / "labels"), 255, values.shape)


RECIPES = Path(__file__).parents[1] / "projects"


@pytest.mark.parametrize(
    ("recipe", "turned"),
    [
        ("Classification/configs/in1k_336.py", False),
        ("Classification/configs/in21k_224.py", False),
        ("Classification/configs/linear_probe_224.py", False),
        ("Classification/configs/mim_pretrain_224.py", False),
        ("Classification/configs/evaluate_objectnet.py", False),
        ("Classification/configs/demo/mnist_finetune.py", True),
        ("CLIP/configs/in1k_336_finetune.py", False),
        ("CLIP/configs/zero_shot_in1k.py", False),
        ("CLIP/configs/zero_shot_imagenet_sketch.py", False),
        ("CLIP/configs/retrieval_coco.py", False),
        ("CLIP/configs/retrieval_flickr30k.py", False),
        ("CLIP/configs/zero_shot_folder.py", True),
        ("CLIP/configs/eva_clip_g14.py", True),
        ("CLIP/configs/eva_clip_g14_captions.py", True),
        ("CLIP/configs/demo/eva_clip_tiny_digits.py", True),
    ],
)
def test_training_evaluation_and_prediction_of_a_recipe_follow_one_option(recipe, turned):
    for overrides, expected in (([], turned), ([f"dataloader.apply_exif_orientation={not turned}"], not turned)):
        if overrides and "demo" in recipe:
            continue  # its data have no tags
        cfg = load_config(str(RECIPES / recipe), overrides)
        assert applies_exif_orientation(cfg) is expected
        for loader in ("train", "test"):
            mapper = OmegaConf.select(cfg, f"dataloader.{loader}.mapper")
            assert mapper is None or mapper.get("apply_exif_orientation", True) is expected
