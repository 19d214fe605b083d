"""The command predict with a tiny classifier of a published recipe: good and corrupt files."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from PIL import Image, ImageOps
from timm.data import ImageNetInfo

from eva_backbone.errors import InputError
from eva_classification.prediction import ClassPredictor, find_class_names
from eva_engine.commands import predict
from eva_engine.config import load_config

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "projects/Classification/configs/in1k_336.py"
TINY = ["model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28"]
CLIP = ROOT / "projects/CLIP/configs"


def save_weights(path: Path, *overrides: str) -> Path:
    torch.manual_seed(1)
    model = instantiate(load_config(str(RECIPE), [*TINY, *overrides]).model)
    torch.nn.init.normal_(
        model.head.weight
    )  # the initial weights are so close to zero that all classes are equally likely
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "tiny.pth")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with photos/ in several formats."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, (height, width) in {
        "a.png": (40, 60),
        "b.jpg": (90, 30),
        "c.webp": (28, 28),
        "sub/d.png": (5, 9),
    }.items():
        Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / "photos" / name)
    Image.fromarray(generator.integers(0, 256, (28, 28), np.uint8)).save(tmp_path / "photos/grey.png")
    stream = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (99, 99, 3), np.uint8)).save(stream, "JPEG")
    (tmp_path / "photos/cut.jpg").write_bytes(stream.getvalue()[:2000])
    (tmp_path / "photos/empty.png").touch()
    (tmp_path / "photos/clip.mp4").touch()
    (tmp_path / "photos/notes.txt").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(weights: Path, *extra: str) -> list[str]:
    return ["--config-file", str(RECIPE), "--weights", str(weights), "--device", "cpu", *extra]


def records(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("batch_size", ["1", "2", "16"])
def test_good_files_are_done_and_broken_ones_named(weights, capsys, batch_size):
    arguments = ["--batch-size", batch_size, "--output", "out", "--input", "photos", "missing.jpg", *TINY]
    assert predict.main(command(weights, *arguments)) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == (
        "images: 4, videos: 0, frames: 0, failed: 4, other files skipped: 1; results in out"
    )
    for name in ("cut.jpg", "empty.png", "clip.mp4", "missing.jpg"):
        assert sum(line.startswith("failed: ") and name in line for line in printed.err.splitlines()) == 1, name
    found = records("out/classes.jsonl")
    assert [record["image"] for record in found] == [f"photos/{n}" for n in ("a.png", "b.jpg", "c.webp", "grey.png")]
    for record, line in zip(found, printed.out.splitlines(), strict=False):
        best = record["classes"][0]
        assert line.startswith(f"{record['image']}: {best['name']} {best['probability']:.1%}, ")


@pytest.mark.usefixtures("folder")
def test_classes_are_those_of_the_evaluation(weights):
    """The recipe's own transform and model, one image at a time."""
    assert predict.main(command(weights, "--output", "o", "--input", "photos/a.png", "photos/b.jpg", *TINY)) == 0
    cfg = load_config(str(RECIPE), TINY)
    model = instantiate(cfg.model).eval()
    model.load_state_dict(torch.load(weights)["model"])
    transform = instantiate(cfg.dataloader.test.mapper.transform)
    for record in records("o/classes.jsonl"):
        pixels = transform(Image.open(record["image"]).convert("RGB"))
        with torch.no_grad():
            expected = model(pixels[None]).softmax(1)[0].topk(5)
        assert [prediction["class"] for prediction in record["classes"]] == expected.indices.tolist()
        names = [ImageNetInfo().index_to_description(number) for number in expected.indices.tolist()]
        assert [prediction["name"] for prediction in record["classes"]] == names
        np.testing.assert_allclose([p["probability"] for p in record["classes"]], expected.values, atol=2e-6)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("turned", [False, True])
def test_orientation_tags_are_followed_as_in_the_evaluation(weights, turned):
    photo, exif = Image.open("photos/b.jpg"), Image.Exif()
    exif[274] = 8
    photo.save("turned.png", exif=exif)
    option = f"dataloader.apply_exif_orientation={turned}"
    assert predict.main(command(weights, "--output", "o", "--input", "turned.png", *TINY, option)) == 0
    cfg = load_config(str(RECIPE), [*TINY, option])
    mapper = instantiate(cfg.dataloader.test.mapper)
    pixels = mapper({"file_name": "turned.png", "read": lambda: (io.BytesIO(Path("turned.png").read_bytes()), 0)})[
        "image"
    ]
    shown = ImageOps.exif_transpose(Image.open("turned.png")) if turned else photo
    np.testing.assert_array_equal(pixels, mapper.transform(shown).numpy())
    model = instantiate(cfg.model).eval()
    model.load_state_dict(torch.load(weights)["model"])
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels)[None]).softmax(1)[0].topk(5)
    (record,) = records("o/classes.jsonl")
    assert [prediction["class"] for prediction in record["classes"]] == expected.indices.tolist()
    np.testing.assert_allclose([p["probability"] for p in record["classes"]], expected.values, atol=2e-6)


@pytest.mark.usefixtures("folder")
def test_predictor_of_a_built_model_and_of_a_recipe(weights):
    cfg = load_config(str(RECIPE), TINY)
    from_config = ClassPredictor.from_config(cfg, weights, "cpu")
    model = instantiate(cfg.model)
    model.load_state_dict(torch.load(weights)["model"])
    transform = instantiate(cfg.dataloader.test.mapper.transform)
    built = ClassPredictor(model, transform, from_config.class_names, "cpu")
    image = np.array(Image.open("photos/a.png"))
    assert not built.model.training
    built.top = from_config.top = 3
    result = built(image)
    assert result.records() == from_config(image).records()
    assert len(result) == 3
    with pytest.raises(InputError, match="1 class names"):
        ClassPredictor(model, transform, ["cat"], "cpu")


def test_names_from_a_file_and_from_the_class_map(folder, capsys):
    own = ["model.num_classes=3"]
    weights = save_weights(folder / "three.pth", *own)
    (folder / "names.txt").write_text("ant\nbee\ncat\n")
    arguments = ["--input", "photos/a.png", *TINY, *own]
    assert predict.main(command(weights, "--class-names", "names.txt", *arguments)) == 0
    from_file = capsys.readouterr().out
    assert all(name in from_file for name in ("ant", "bee", "cat"))
    (folder / "digits").mkdir()
    (folder / "digits" / "classes.txt").write_text("\ufeffant\nbee\ncat\n\n", encoding="utf-8")
    for own_map in (["class_map=names.txt"], ["class_map=classes.txt", "root=digits"]):  # as training looks for it
        options = [f"dataloader.test.dataset.{option}" for option in own_map]
        assert predict.main(command(weights, *arguments, *options)) == 0
        assert capsys.readouterr().out == from_file
    none = [f"dataloader.{loader}.dataset.class_map=null" for loader in ("train", "test")]
    assert predict.main(command(weights, *arguments, *none)) == 0
    assert "class 0 " in capsys.readouterr().out
    assert records("output/predictions/classes.jsonl")[0]["classes"][0]["name"].startswith("class ")


@pytest.mark.usefixtures("folder")
def test_non_finite_logits_are_an_error(weights, capsys):
    model = torch.load(weights)["model"]
    torch.save({"model": {**model, "head.bias": torch.full_like(model["head.bias"], torch.nan)}}, "diverged.pth")
    assert predict.main(command(Path("diverged.pth"), "--input", "photos/a.png", *TINY)) == 1
    assert "failed: photos/a.png: the model produced non-finite logits" in capsys.readouterr().err
    assert records("output/predictions/classes.jsonl") == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("recursive", [False, True])
def test_sub_folders(weights, recursive, capsys):
    assert predict.main(command(weights, "--input", "photos", *(["--recursive"] * recursive), *TINY)) == 1
    assert ("photos/sub/d.png: " in capsys.readouterr().out) == recursive


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--config-file": "nothing.py"}, "nothing.py does not exist"),
        ({"--config-file": str(RECIPE.with_name("mim_pretrain_224.py")), "opts": []}, "the config has no classifier"),
        ({"--weights": "nothing.pth"}, "nothing.pth"),
        ({"--weights": "photos/a.png"}, "a.png"),
        ({"--input": "photos/notes.txt"}, "no image or video in photos/notes.txt"),
        ({"--output": "photos/notes.txt/out"}, "give another --output"),
        ({"--output": "photos/a.png"}, "give another --output"),
        ({"--score-threshold": "0.5"}, "--score-threshold is not an option for"),
        ({"--labels": "cat"}, "--labels is not an option for"),
        ({"--class-names": "photos/notes.txt"}, "has 1 class names, but the model has 1000"),
        ({"--class-names": "nothing.txt"}, "nothing.txt"),
        ({"--device": "cuda:99"}, "cuda:99"),
        ({"opts": [*TINY, "model.num_classes=7"]}, "has 1000 class names, but the model has 7"),
        ({"opts": [*TINY, "model.num_classes=1200"]}, "has no values for 2 parameters of the model (head.weight"),
        ({"opts": [*TINY, "model.embed_dim=64"]}, "belongs to another model"),
        ({"opts": [*TINY, "model.dephth=3"]}, "model.depth"),
    ],
)
def test_unusable_options_are_one_sentence(weights, folder, capsys, change, message):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    change = dict(change)
    opts = change.pop("opts", TINY)
    options = {
        "--config-file": str(RECIPE),
        "--weights": str(weights),
        "--input": "photos",
        "--device": "cpu",
        **change,
    }
    assert predict.main([text for option in options.items() for text in option] + opts) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert {path: path.read_bytes() for path in before} == before


OTHERS = ("in21k_224", "mim_pretrain_224")
IMAGENET = [file for file in sorted(RECIPE.parent.glob("*.py")) if file.stem not in OTHERS]


@pytest.mark.parametrize("file", [*IMAGENET, *sorted(CLIP.glob("in1k_*.py"))], ids=lambda file: file.stem)
def test_recipes_of_imagenet_name_its_classes(file):
    assert find_class_names(load_config(str(file)), 1000)[0].startswith("tench")


def test_a_thousand_custom_classes_do_not_get_the_names_of_imagenet():
    none = [f"dataloader.{loader}.dataset.class_map=null" for loader in ("train", "test")]
    assert find_class_names(load_config(str(RECIPE), none), 1000)[0] == "class 0"


def test_a_model_of_the_classes_of_one_set():
    names = find_class_names(load_config(str(RECIPE.with_name("evaluate_imagenet_a.py"))), 200)
    assert len(names) == 200
    assert names[0].startswith("stingray")


@pytest.mark.usefixtures("folder")
def test_weights_in_bfloat16(weights):
    best = {}
    for dtype in ("float32", "bfloat16"):
        options = ["--dtype", dtype, "--input", "photos/a.png", "--output", dtype]
        assert predict.main(command(weights, *options, *TINY)) == 0
        best[dtype] = records(f"{dtype}/classes.jsonl")[0]["classes"][0]
    assert best["bfloat16"]["class"] == best["float32"]["class"]
    assert 0 < abs(best["bfloat16"]["probability"] - best["float32"]["probability"]) < 0.02
