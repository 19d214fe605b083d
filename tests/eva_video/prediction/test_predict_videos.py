"""The command `predict` with a small video classifier of a published recipe, on good and broken files."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.commands import predict
from eva_engine.config import load_config
from eva_engine.prediction import Input
from eva_video import kinetics_names
from eva_video.prediction import VideoPredictor

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "projects/Video/configs/kinetics400.py"
TINY = ["model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28", "model.num_frames=4"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    model = instantiate(load_config(str(RECIPE), TINY).model)
    torch.nn.init.normal_(model.head.weight)  # initial heads are so close to zero that all classes are equally likely
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with good and broken files in clips/."""
    clips = tmp_path / "clips"
    clips.mkdir()
    with av.open(str(clips / "good.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    shutil.copy(clips / "good.mp4", clips / "also $good$.mp4")
    (clips / "empty.mp4").touch()
    (clips / "noise.avi").write_bytes(bytes(range(256)) * 40)
    Image.new("RGB", (9, 9)).save(clips / "picture.png")
    (clips / "notes.txt").write_text("no video")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(weights: Path, *extra: str) -> list[str]:
    return ["--config-file", str(RECIPE), "--weights", str(weights), "--device", "cpu", *extra, *TINY]


@pytest.mark.usefixtures("folder")
def test_good_files_are_classified_and_broken_ones_reported(weights, capsys):
    assert predict.main(command(weights, "--output", "out", "--input", "clips", "missing.mp4")) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == ("videos: 2, failed: 4, other files skipped: 1; results in out")
    for name in ("empty.mp4", "noise.avi", "picture.png", "missing.mp4"):
        assert sum(line.startswith("failed: ") and name in line for line in printed.err.splitlines()) == 1, name
    records = [json.loads(line) for line in Path("out/classes.jsonl").read_text().splitlines()]
    assert [record["video"] for record in records] == ["clips/also $good$.mp4", "clips/good.mp4"]
    for record in records:
        assert len(record["classes"]) == 5
        names = kinetics_names("k400")
        assert all(guess["name"] == names[guess["class"]] for guess in record["classes"])
        with Image.open(record["filmstrip"]) as filmstrip:
            assert filmstrip.format == "PNG"
            assert filmstrip.width > filmstrip.height / 2
            assert np.ptp(np.asarray(filmstrip.convert("L"))) > 200


@pytest.mark.usefixtures("folder")
def test_classes_are_those_of_the_evaluation(weights):
    """The recipe's own mapper and model, averaged over its twelve views."""
    assert predict.main(command(weights, "--output", "o", "--input", "clips/good.mp4")) == 0
    record = json.loads(Path("o/classes.jsonl").read_text())
    cfg = load_config(str(RECIPE), TINY)
    model = instantiate(cfg.model).eval()
    model.load_state_dict(torch.load(weights)["model"])
    views = instantiate(cfg.dataloader.test.mapper)({"file_name": "clips/good.mp4", "label": 0})["video"]
    assert views.shape == (12, 3, 4, 28, 28)
    with torch.no_grad():
        expected = model(torch.from_numpy(views)).softmax(1).mean(0).topk(5)
    assert [guess["class"] for guess in record["classes"]] == expected.indices.tolist()
    np.testing.assert_allclose([g["probability"] for g in record["classes"]], expected.values, atol=2e-6)


@pytest.mark.usefixtures("folder")
def test_a_predictor_takes_a_built_model(weights):
    cfg = load_config(str(RECIPE), TINY)
    expected = VideoPredictor.from_config(cfg, weights, "cpu")
    predictor = VideoPredictor(expected.model, instantiate(cfg.dataloader.test.mapper), kinetics_names("k400"), "cpu")
    clip = Input(Path("clips/good.mp4"), "video", "good")
    (result,) = predictor.predict([predictor.read(clip)])
    assert result.records() == expected.predict([expected.read(clip)])[0].records()
    assert len(result) == 5
    predictor.top = 500
    assert len(predictor.predict([predictor.read(clip)])[0]) == 400
    assert result.plot().width > result.frames.shape[2]
    with pytest.raises(InputError, match="3 class names, but the model has 400"):
        VideoPredictor(expected.model, instantiate(cfg.dataloader.test.mapper), ["a", "b", "c"], "cpu")


@pytest.mark.usefixtures("folder")
def test_non_finite_logits_are_reported(weights, capsys):
    model = torch.load(weights)["model"]
    torch.save({"model": {**model, "head.bias": torch.full_like(model["head.bias"], torch.nan)}}, "diverged.pth")
    assert predict.main(command(Path("diverged.pth"), "--input", "clips/good.mp4")) == 1
    assert "failed: clips/good.mp4: the model produced non-finite logits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "clips/notes.txt"], "no video in clips/notes.txt: name files or folders that have some."),
        (["--input", "clips", "--class-names", "names.txt"], "names.txt: no such file with class names"),
        (["--input", "clips", "--output", "clips/notes.txt"], "clips/notes.txt: the results cannot be written"),
        (
            ["--input", "clips", "model.num_classes=7"],
            "dataloader.class_names has 400 class names, but the model has 7",
        ),
        (["--input", "clips", "--max-frames", "2"], "--max-frames is not an option for the recipe's task, video"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes_are_one_sentence(weights, capsys, arguments, message):
    assert predict.main(command(weights, *arguments)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.usefixtures("folder")
def test_weights_in_bfloat16(weights):
    probabilities = {}
    for dtype in ("float32", "bfloat16"):
        assert predict.main(command(weights, "--dtype", dtype, "--output", dtype, "--input", "clips/good.mp4")) == 0
        classes = json.loads(Path(dtype, "classes.jsonl").read_text())["classes"]
        probabilities[dtype] = {row["class"]: row["probability"] for row in classes}
    assert probabilities["bfloat16"] == pytest.approx(probabilities["float32"], rel=0.2)
    assert probabilities["bfloat16"] != probabilities["float32"]


@pytest.mark.usefixtures("folder")
def test_without_filmstrips(weights):
    assert predict.main(command(weights, "--output", "out", "--input", "clips/good.mp4", "--no-images")) == 0
    assert [path.name for path in Path("out").iterdir()] == ["classes.jsonl"]
    (line,) = Path("out/classes.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {"video", "classes"}
