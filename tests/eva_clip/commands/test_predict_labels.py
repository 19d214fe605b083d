"""The command `predict` with a tiny EVA-CLIP: good and broken files and labels."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eva_clip import create_clip_model, get_tokenizer
from eva_clip.open_clip_weights import to_open_clip
from eva_clip.transforms import evaluation_transform
from eva_engine.commands import predict

TINY = "eva_clip_tiny"
LONG = "word " * 40 + "end"
RECIPE = """
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from eva_clip import build_model
model = L(build_model)(name="eva_clip_tiny")
dataloader = OmegaConf.create()
optimizer = lr_multiplier = OmegaConf.create()
train = OmegaConf.create()
"""


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    model = create_clip_model(TINY)
    torch.nn.init.normal_(model.visual.head.weight, std=0.3)  # initially so close to zero that images hardly differ
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, model) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working directory with photos/, which has usable and unusable files."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    generator = np.random.default_rng(0)
    sizes = {"a.png": (40, 60), "b.jpg": (90, 30), "sub/d.png": (5, 9)}
    for name, (height, width) in sizes.items():
        Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / "photos" / name)
    stream = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (99, 99, 3), np.uint8)).save(stream, "JPEG")
    (tmp_path / "photos/cut.jpg").write_bytes(stream.getvalue()[:2000])
    (tmp_path / "photos/clip.mp4").touch()
    (tmp_path / "photos/notes.txt").write_text("not an image")
    (tmp_path / "recipe.py").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(weights: Path, *extra: str) -> list[str]:
    options = ["--config-file", "recipe.py", "--weights", str(weights), "--device", "cpu", "--output", "out"]
    return [*options, *([] if "--input" in extra else ["--input", "photos"]), *extra]


def records() -> list[dict]:
    return [json.loads(line) for line in Path("out/scores.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("batch_size", ["1", "16"])
def test_good_files_are_done_and_broken_ones_named(weights, capsys, batch_size):
    labels = ["cat", "猫", "a  red\nfox", LONG]
    arguments = ["--batch-size", batch_size, "--input", "photos", "missing.jpg", "--labels", *labels]
    assert predict.main(command(weights, *arguments)) == 1
    printed = capsys.readouterr()
    assert "images: 2, videos: 0, frames: 0, failed: 3, other files skipped: 1; results in out\n" in printed.out
    assert "contact sheets: out/contact_sheet.png\n" in printed.out
    for name in ("cut.jpg", "clip.mp4", "missing.jpg"):
        assert sum(line.startswith("failed: ") and name in line for line in printed.err.splitlines()) == 1, name
    assert "cut to the 32 tokens that the model reads: 1 of 4 labels ('word word" in printed.err
    found = records()
    assert [record["image"] for record in found] == ["photos/a.png", "photos/b.jpg"]
    with open("out/scores.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "best", "cat", "猫", "a red fox", LONG]
    for record, row in zip(found, rows, strict=True):
        matches = record["labels"]
        assert matches == sorted(matches, key=lambda match: -match["similarity"])
        assert sum(match["probability"] for match in matches) == pytest.approx(1, abs=1e-5)
        assert row[:2] == [record["image"], matches[0]["label"]]
        by_label = {match["label"]: match["probability"] for match in matches}
        assert [float(value) for value in row[2:]] == [by_label[label] for label in header[2:]]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("layout", ["own", "open_clip"])
def test_scores_are_those_of_the_model(weights, model, layout):
    if layout == "open_clip":
        weights = Path("open_clip.pt")
        torch.save(to_open_clip(model.state_dict()), weights)
    labels, templates = ["cat", "dog", "bird"], ["a {}.", "the {}"]
    arguments = ["--input", "photos/b.jpg", "--labels", *labels, "--templates", *templates]
    assert predict.main(command(weights, *arguments)) == 0
    tokenizer = get_tokenizer(TINY)
    with torch.no_grad():
        pixels = evaluation_transform(56)(Image.open("photos/b.jpg"))[None]
        rows = []
        for label in labels:
            rows.append(
                model.encode_text(tokenizer([t.replace("{}", label) for t in templates]), normalize=True).mean(0)
            )
        classes = torch.nn.functional.normalize(torch.stack(rows))
        cosines = (model.encode_image(pixels, normalize=True) @ classes.T)[0]
        chances = (model.logit_scale.exp() * cosines).softmax(0)
    found = {match["label"]: match for match in records()[0]["labels"]}
    for number, label in enumerate(labels):
        assert found[label]["similarity"] == pytest.approx(cosines[number].item(), abs=2e-6)
        assert found[label]["probability"] == pytest.approx(chances[number].item(), abs=2e-6)


def test_labels_and_templates_from_files(weights, folder):
    (folder / "labels.txt").write_text("cat\nHund\n")
    (folder / "templates.txt").write_text("a {}\n{}\n")
    for name, arguments in {
        "typed": ["--labels", "cat", "Hund", "--templates", "a {}", "{}"],
        "files": ["--labels", "labels.txt", "--templates", "templates.txt"],
    }.items():
        options = ["--config-file", "recipe.py", "--weights", str(weights), "--device", "cpu", "--output", name]
        assert predict.main([*options, "--input", "photos/a.png", *arguments]) == 0
    for file in ("scores.jsonl", "scores.csv"):
        assert (folder / "typed" / file).read_bytes() == (folder / "files" / file).read_bytes()


@pytest.mark.usefixtures("folder")
def test_half_precision_is_near(weights, capsys):
    arguments = ["--labels", "cat", "dog", "--top", "1", "--input", "photos/a.png"]
    assert predict.main(command(weights, *arguments, "--dtype", "bfloat16")) == 0
    half = records()[0]["labels"]
    assert capsys.readouterr().out.startswith(f"photos/a.png  {half[0]['label']} {half[0]['probability']:.1%}\n")
    assert predict.main(command(weights, *arguments)) == 0
    exact = {match["label"]: match["similarity"] for match in records()[0]["labels"]}
    for match in half:
        assert match["similarity"] == pytest.approx(exact[match["label"]], abs=0.02)
    assert half != records()[0]["labels"]


def test_many_images_fill_several_sheets(weights, folder):
    (folder / "many").mkdir()
    for number in range(22):
        Image.new("RGB", (12, 8), (number * 10, 90, 30)).save(folder / "many" / f"{number:02d}.png")
    (folder / "out").mkdir()
    for name in ("contact_sheet.png", "contact_sheet_007.png", "contact_sheet_of_mine.png"):
        (folder / "out" / name).touch()
    assert predict.main(command(weights, "--input", "many", "--labels", "cat", "dog")) == 0
    sheets = sorted(path.name for path in (folder / "out").glob("*.png"))
    assert sheets == ["contact_sheet_001.png", "contact_sheet_002.png", "contact_sheet_of_mine.png"]
    first, second = (Image.open(folder / "out" / name) for name in sheets[:2])
    assert first.width == second.width
    assert second.height * 3 < first.height
    # The first image's colour is on the first page, the last one's on the second.
    assert (0, 90, 30) in {color for _, color in first.getcolors(1 << 20)}
    assert (210, 90, 30) in {color for _, color in second.getcolors(1 << 20)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--labels": ["cat", " "]}, "label 2 of 2 is empty"),
        ({"--labels": ["cat", "dog", "Cat", "bird", "bird"]}, "given more than once: 'cat', 'Cat', 'bird';"),
        ({"--labels": ["empty.txt"]}, "empty.txt is empty"),
        ({"--labels": ["lables.txt"]}, "lables.txt: no such list of names"),
        ({"--labels": ["cat"]}, "'cat' is the only label"),
        ({"--templates": ["photo"]}, "'photo' is not a list of templates"),
        ({"--templates": ["{}", "photo"]}, "the template 'photo' has no {}"),
        ({"--weights": ["nothing.pt"]}, "nothing.pt"),
        ({"--weights": ["photos/a.png"]}, "a.png"),
        ({"--labels": None}, "requires --labels"),
        (
            {"--class-names": ["empty.txt"]},
            "--class-names is not an option for the recipe's task, EVA-CLIP; this task accepts ",
        ),
        ({"--input": ["photos/notes.txt"]}, "no image or video in photos/notes.txt"),
        ({"--output": ["photos"]}, "give another --output"),
        ({"--output": ["photos/notes.txt/out"]}, "give another --output"),
        ({"--device": ["cuda:99"]}, "cuda:99"),
    ],
)
def test_unusable_options_are_one_sentence(weights, folder, capsys, change, message):
    (folder / "empty.txt").touch()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    options = {
        "--config-file": ["recipe.py"],
        "--weights": [str(weights)],
        "--input": ["photos"],
        "--labels": ["cat", "dog"],
        "--output": ["out"],
        "--device": ["cpu"],
        **change,
    }
    assert predict.main([text for option, values in options.items() if values for text in (option, *values)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.usefixtures("folder")
def test_without_contact_sheets(weights, capsys):
    assert predict.main(command(weights, "--input", "photos/a.png", "--labels", "cat", "dog", "--no-images")) == 0
    assert {path.name for path in Path("out").iterdir()} == {"scores.jsonl", "scores.csv"}
    assert "contact sheets" not in capsys.readouterr().out
