"""A run folder is data: no verb runs code of its config.yaml, and every bad file of it is one sentence."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.commands import inspect_weights, plan_memory, predict, train
from eva_engine.config import load_config, save_config
from eva_engine.config.instantiation import instantiate
from eva_engine.config.trusted_names import _installed_recipes, _names_in_recipe
from eva_engine.prediction import read_categories
from eva_engine.report import read_curves
from eva_engine.report.run_commands import run_commands
from eva_engine.training.monitoring import read_evaluations

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests"))
from fuzz.run_folder import run as mutate  # noqa: E402

RECIPE = str(ROOT / "projects/Classification/configs/demo/mnist_scratch.py")
COCO = str(ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py")
CODE = {
    "object": "note: !!python/object/apply:os.system ['touch MARKER']",
    "object value": "note: !!python/object/new:subprocess.Popen [[touch, MARKER]]",
    "module": "note: !!python/module:marker_module ''",
    "name": "note: !!python/name:marker_module.function ''",
    "target": "note: {_target_: os.system, command: touch MARKER}",
    "target in a list": "note: [1, {_target_: os.system, command: touch MARKER}]",
    "module of the working folder": "note: {_target_: marker_module.function}",
    "tagged target": "note: {_target_: !!python/name:os.system '', command: touch MARKER}",
    "same prefix": "note: {_target_: torch.hub.load, repo_or_dir: ., model: x, source: local}",
    "target of a target": "note: {_target_: {_target_: torch.optim.AdamW}, command: touch MARKER}",
    "reference": "note: {_target_: '${evil}', command: touch MARKER}\nevil: os.system",
    "resolver": "note: '${oc.env:HOME}'",
    "aliases": "a: &a [1, 2]\nnote: *a",
}
VERBS = {
    "train": (train.main, []),
    "resume": (train.main, ["--resume"]),
    "dry run": (train.main, ["--dry-run"]),
    "evaluate": (train.main, ["--eval-only", "train.init_checkpoint=model.pth"]),
    "plan": (plan_memory.main, []),
    "predict": (predict.main, ["--weights", "model.pth", "--input", "."]),
    "inspect": (inspect_weights.main, ["model.pth"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    save_config(load_config(RECIPE), tmp_path / "config.yaml")
    (tmp_path / "marker_module.py").write_text("open('MARKER', 'w')\ndef function(): pass\n")
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_runs_code_of_a_config(folder, verb, capfd):
    text = (folder / "config.yaml").read_text()
    main, arguments = VERBS[verb]
    for case, line in CODE.items():
        for section in (line, f"  {line}".replace("\n", "\n  ")):  # at the top, and below the model
            (folder / "config.yaml").write_text(text + section + "\n" if section == line else f"model:\n{section}\n")
            assert main(["--config-file", "config.yaml", *arguments]) == 2, case
            error = capfd.readouterr().err
            assert error.count("\n") == 1, error
            assert error.startswith("error: config.yaml "), error
            assert not (folder / "MARKER").exists(), case
            assert sorted(path.name for path in folder.iterdir() if path.is_dir()) in ([], ["__pycache__"])


def test_sentence_names_tag_target_and_option(folder):
    (folder / "config.yaml").write_text(CODE["object"])
    with pytest.raises(InputError, match=r"the tag !!python/object/apply:os.system, but a .yaml file is not"):
        load_config("config.yaml")
    (folder / "config.yaml").write_text(f"optimizer:\n  {CODE['target']}")
    with pytest.raises(InputError, match=r"names os.system as optimizer.note._target_, .* --trust-recipe FILE.py"):
        load_config("config.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b]",
        "[" * 10**6,
        "a: " + "{a: " * 10**5,
        "a: [" + "1," * 10**6 + "1]",
        "a: " + "1" * 10**6,
        "a: 0\n" + "".join(f"a{i}: ['${{a{i - 1}}}', '${{a{i - 1}}}']\n" for i in range(1, 40)),
        "a0: xx\n" + "".join(f"a{i}: '${{a{i - 1}}}${{a{i - 1}}}'\n" for i in range(1, 40)),
        "a0: xx\n" + "".join(f"a{i}: '${{a{i - 1}}}'\n" for i in range(1, 5000)),
        "a: ['${a}']",
        "a: '${b}'\nb: '${a}'",
        "a: 2024-01-01\n? [1, 2]\n: 3",
        "train: [1]",
        "train: {amp: 3}",
        "train: {max_iter: many}",
        "train: {freeze: x}",
        "model: {_target_: eva_classification.Classifier, depth: two}",
        "",
        "- 1",
        "\x00",
    ],
    ids=lambda text: text[:20],
)
def test_configs_out_of_proportion_or_shape_are_one_sentence(folder, text):
    (folder / "config.yaml").write_text(text)
    start = time.process_time()
    with pytest.raises(InputError) as error:
        load_config("config.yaml")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000
    assert time.process_time() - start < 10


def test_binary_config_is_one_sentence(folder):
    (folder / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        load_config("config.yaml")


def test_user_resumes_a_run_with_an_own_target(folder):
    changed = ["optimizer._target_=torch.optim.Adam"]
    save_config(load_config(RECIPE, changed), folder / "config.yaml")
    with pytest.raises(InputError, match=r"names torch.optim.Adam .* or optimizer._target_=torch.optim.Adam$"):
        load_config("config.yaml")
    assert load_config("config.yaml", changed).optimizer._target_ == "torch.optim.Adam"


def test_recipe_named_by_the_option_is_trusted(folder, capfd):
    text = "import torch\nfrom detectron2.config import LazyCall as L\noptimizer = L(torch.optim.Adam)()\n"
    (folder / "mine.py").write_text(text)
    save_config(load_config(RECIPE, ["optimizer._target_=torch.optim.Adam", "optimizer.lr=0.5"]), "config.yaml")
    arguments = ["--config-file", "config.yaml", "train.device=cpu"]
    assert plan_memory.main(arguments) == 2
    assert plan_memory.main([*arguments, "--trust-recipe", "mine.py"]) == 0
    assert plan_memory.main([*arguments, "--trust-recipe", "config.yaml"]) == 2
    assert "--trust-recipe config.yaml is not a recipe" in capfd.readouterr().err


def test_recipes_mention_every_name_that_they_use():
    """Names that no recipe mentions are refused without a search."""
    files, _ = _installed_recipes(set())
    names = {name for file in files for name in _names_in_recipe(file)}
    assert len(names) > 100
    assert _installed_recipes(names)[1] == names


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["optimizer._target_=torch.optim.SGD"], "optimizer has betas, which torch.optim.SGD does not take; it takes"),
        (["optimizer._target_=torch.optim.SGDD"], "optimizer._target_=torch.optim.SGDD cannot be imported"),
        (["optimizer._target_=torch.optim"], "optimizer._target_=torch.optim cannot be called"),
        (["optimizer.lr=nan"], "optimizer.lr=nan is out of range; give a number of 0 or more"),
        (["optimizer.lr=-0.1"], "optimizer.lr=-0.1 is out of range"),
        (["optimizer.lr=" + "9" * 400], f"optimizer.lr={'9' * 100} is out of range; give a number of 0 or more"),
        (["optimizer.weight_decay=inf"], "optimizer.weight_decay=inf is out of range"),
        (["optimizer.betas=[0.9,1.5]"], "optimizer.betas="),
        (["model.pixel_mean=[0,0]"], "model.pixel_mean has 2 numbers, but images have 3 channels; give one for each"),
        ([f"model.proposal_generator.head.conv_dims={[4] * 2001}"], "model.proposal_generator.head.conv_dims has "),
        (["model.pixel_std=[1,1,0]"], "model.pixel_std="),
        (["dataloader.test.batch_size=0"], "dataloader.test.batch_size=0 is out of range; give a number of 1 or more"),
        (["dataloader.train.num_workers=-1"], "dataloader.train.num_workers=-1 is out of range"),
        (["train.max_iter=0"], "train.max_iter=0 is out of range"),
        (["train.clip_grad_norm=nan"], "train.clip_grad_norm=nan is out of range"),
        (["train.log_period=0"], "train.log_period=0 is out of range"),
        (["model.backbone.net.drop_path_rate=1.5"], "model.backbone.net.drop_path_rate=1.5 is out of range"),
    ],
)
def test_values_are_checked_before_anything_is_built(tmp_path, overrides, sentence):
    with pytest.raises(InputError) as error:
        load_config(COCO, overrides)
    assert str(error.value).startswith(sentence)
    cfg = load_config(COCO)
    key, _, value = overrides[0].partition("=")
    value = float(value) if value in ("nan", "inf") else OmegaConf.create(f"x: {value}").x
    OmegaConf.update(cfg, key, value)
    save_config(cfg, tmp_path / "config.yaml")
    with pytest.raises(InputError) as error:  # the same in a file
        load_config(str(tmp_path / "config.yaml"))
    assert sentence.partition(" ")[0] in str(error.value)


def test_references_to_a_list_multiply_its_values():
    head, sizes = "model.proposal_generator.head.conv_dims", "model.proposal_generator.anchor_generator.sizes"
    reference = "'${model.proposal_generator.head.conv_dims}'"
    assert load_config(COCO, [f"{head}={[4] * 100}", f"{sizes}=[{reference}]"])
    with pytest.raises(InputError, match=f"{sizes} has 3,000 values, more than any model"):
        load_config(COCO, [f"{head}={[4] * 100}", f"{sizes}=[{','.join([reference] * 30)}]"])


def test_unfit_call_is_one_sentence():
    with pytest.raises(InputError, match=r"cannot be built .*missing 1 required positional argument: 'params'"):
        instantiate(OmegaConf.create({"_target_": "torch.optim.AdamW"}))
    with pytest.raises(InputError, match="Interpolation key 'b' not found"):
        instantiate(OmegaConf.create({"_target_": "torch.optim.AdamW", "lr": "${b}"}))
    with pytest.raises(TypeError):  # of the called function, not of the config
        instantiate(OmegaConf.create({"_target_": "torch.optim.AdamW", "params": 3}))


@pytest.mark.parametrize("name", ["../other", "/etc/passwd", "..", "", "x\nrm -r y", "x" * 10**5, "\x00", ".partial"])
def test_last_checkpoint_names_a_file_of_the_run(tmp_path, name):
    (tmp_path / "other").mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / "last_checkpoint").write_text(name)
    last = RunFolder(run).last()
    assert last is None or (last.parent == run and last.name == Path(name).name != "..")
    assert RunFolder(run).checkpoints() == []
    assert "passwd" not in run_commands(run, evaluated=True) or f"{run}/passwd" in run_commands(run, evaluated=True)
    (run / "last_checkpoint").write_bytes(b"\xff")
    assert RunFolder(run).last() is None


DAMAGED = [
    b"[]",
    b"\xff\xfe",
    b"[" * 10**5,
    b'{"iteration": "nine"}',
    b'{"iteration": [1]}',
    b'{"iteration": 1e400}',
    b'{"iteration": -5}',
    b'{"iteration": true, "a": ' + b"[" * 10**5,
    b'{"a": "' + b"x" * 3 * 10**6 + b'"}',
]


@pytest.mark.parametrize("line", DAMAGED, ids=lambda line: str(line[:20]))
def test_damaged_metrics(tmp_path, line):
    path = tmp_path / "metrics.json"
    good = {"iteration": 1, "digits/top1": 50.0, "lr": float("nan"), "bad": "x", "huge": 10**400, "deep": [[]]}
    path.write_bytes(line + b"\n" + json.dumps(good).encode() + b"\n")
    records = read_evaluations(path, 5)
    assert [(record["iteration"], record["digits/top1"]) for record in records] == [(1, 50.0)]
    assert not {"bad", "huge", "deep"} & records[0].keys()
    with pytest.raises(InputError, match=r"metrics.json, line 1: expected a JSON object"):
        read_curves(path)
    path.write_bytes(json.dumps(good).encode() + b"\n" + line)
    if line != DAMAGED[-1]:  # which is read in pieces
        assert read_curves(path).metrics == {"digits/top1": {1: 50.0}}


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"",
        b"[]",
        b"3",
        b"[" * 10**5,
        b'{"categories": 3}',
        b'{"categories": []}',
        b'{"categories": [{"id": NaN, "name": "a"}]}',
        b'{"categories": [{"id": Infinity, "name": "a"}]}',
        b'{"categories": [{"id": 1, "name": ["a"]}]}',
        b'{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
        b'{"categories": [[1, 2]]}',
    ],
)
def test_damaged_categories(tmp_path, content):
    (tmp_path / "categories.json").write_bytes(content)
    with pytest.raises(InputError, match=r"categories.json") as error:
        read_categories(tmp_path / "categories.json")
    assert "\n" not in str(error.value)


def test_mutated_run_folders():
    mutate(50, seed=0)
