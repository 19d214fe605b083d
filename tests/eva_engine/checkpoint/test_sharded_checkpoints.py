"""Checkpoints that several processes write, each of which has one shard."""

import json
import logging
import pickle
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from sharded_run import trained_state
from test_run_checkpoints import assert_same, names
from test_weight_files import Malicious, zip_with_pickle

from eva_backbone.errors import InputError
from eva_engine.checkpoint import RunCheckpoints, read_file, read_weights


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Folder with the results of the script sharded_run.py."""
    folder = tmp_path_factory.mktemp("sharded")
    script = Path(__file__).with_name("sharded_run.py")
    command = [sys.executable, "-W", "ignore", str(script), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[3])
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture(scope="module")
def expected() -> dict:
    """The state of a single process with the unsharded model after the same step."""
    return trained_state(1, sharded=False)[2]


@pytest.fixture
def run(written, tmp_path) -> Path:
    return Path(shutil.copytree(written / "run", tmp_path / "run"))


@pytest.mark.parametrize("world_size", [1, 3])
def test_loaded_on_another_number_of_processes(world_size, written, expected):
    loaded = torch.load(written / f"loaded_{world_size}.pth", weights_only=True)
    assert_same(loaded, read_file(written / "run" / "model_final"))
    assert_same(loaded["model"], expected["model"])
    assert_same(loaded["scheduler"], expected["scheduler"])
    assert_same(loaded["random"], expected["random"])
    assert_same(loaded["optimizer"]["param_groups"], expected["optimizer"]["param_groups"])


def test_loaded_unsharded_by_one_process(run, expected):
    state = trained_state(2, sharded=False)[2]
    checkpoints = RunCheckpoints(run, max_to_keep=2)
    loaded = checkpoints.load(checkpoints.find_last(), state)
    assert_same(loaded, expected)
    assert loaded["model"]["0.weight"].data_ptr() == state["model"]["0.weight"].data_ptr()


def test_written_while_training_continues(run, expected):
    assert_same(read_file(run / "model_0000002"), expected)
    assert_same(read_file(run / "model_0000003"), expected)


def test_the_newest_are_kept_and_one_is_replaced(run):
    assert names(run) == ["last_checkpoint", "model_0000002", "model_0000003", "model_best", "model_final"]
    assert (run / "last_checkpoint").read_text() == "model_final"
    assert read_file(run / "model_best")["iteration"] == 10  # that of rank 0


def test_weights_of_a_folder(run, expected):
    assert_same(read_weights(run / "model_final"), expected["model"])
    assert read_file(run / "model_final", ("scheduler",)) == {"scheduler": expected["scheduler"]}


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_torch_reads_it_too(run, expected):
    """Users who trust the folder can read it without this package."""
    weights = {"model": {"0.weight": torch.zeros(64, 6), "1.bias": torch.zeros(5)}}
    dcp.load(weights, checkpoint_id=run / "model_final", no_dist=True)
    assert_same(weights["model"], {name: expected["model"][name] for name in weights["model"]})


@pytest.mark.parametrize("name", ["__0_0.distcp", "__1_0.distcp", "whole.pth", "index.json", ".metadata"])
@pytest.mark.parametrize("kind", ["bit", "cut short", "missing"])
def test_damage_is_found_and_the_previous_checkpoint_used(name, kind, run, caplog):
    path = run / "model_final" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if kind != "missing":
        path.write_bytes(content if kind == "bit" else content[:-1])
    checkpoints = RunCheckpoints(run, max_to_keep=2)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.find_last() == run / "model_0000003"
    assert "model_final is not used" in caplog.text
    assert name in caplog.text
    for folder in run.glob("model_0*"):
        (folder / "__1_0.distcp").unlink()
    with pytest.raises(InputError, match="has no intact checkpoint"):
        checkpoints.find_last()


def test_every_flipped_bit_is_found(run):
    folder = run / "model_final"
    for name in ("__1_0.distcp", "index.json", "whole.pth"):
        content = (folder / name).read_bytes()
        for position in range(0, len(content), 211):
            flipped = bytearray(content)
            flipped[position] ^= 1 << position % 8
            (folder / name).write_bytes(flipped)
            assert RunCheckpoints(run, max_to_keep=2).find_last() == run / "model_0000003", (name, position)
        (folder / name).write_bytes(content)
    assert RunCheckpoints(run, max_to_keep=2).find_last() == folder


def forge_index(folder: Path, change) -> None:
    """Change the index and correct its checksum."""
    body = json.loads((folder / "index.json").read_bytes())
    body.pop("crc32")
    change(body)
    checksum = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    (folder / "index.json").write_text(json.dumps({"crc32": checksum, **body}))


def first_piece(body: dict) -> list:
    return next(entry for entry in body["tensors"] if entry["pieces"])["pieces"][0]


FORGERIES = {
    "file elsewhere": lambda body: body["files"].update({"../last_checkpoint": [11, 0]}),
    "not a type": lambda body: body["tensors"][0].update(dtype="load"),
    "enormous": lambda body: body["tensors"][0].update(shape=[2**40], pieces=[[[0], [2**40], "whole.pth", 0, 9]]),
    "no pieces": lambda body: body["tensors"][0].update(pieces=[]),
    "beyond the file": lambda body: first_piece(body).__setitem__(3, 10**9),
    "outside of the tensor": lambda body: first_piece(body)[0].__setitem__(0, 10**6),
    "other file": lambda body: first_piece(body).__setitem__(2, "log.txt"),
    "no tensors": lambda body: body.pop("tensors"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_an_inconsistent_index(change, run):
    forge_index(run / "model_final", change)
    with pytest.raises(InputError, match=r"index\.json is damaged"):
        read_file(run / "model_final")


def test_a_folder_in_itself(run):
    folder = run / "model_final"
    forge_index(folder, lambda body: body["files"].pop("whole.pth"))
    (folder / "whole.pth").unlink()
    (folder / "whole.pth").symlink_to(folder)
    with pytest.raises(InputError, match=r"whole\.pth is a folder; expected a file"):
        read_file(folder)


def evil_metadata(folder: Path, payload: Malicious) -> None:
    (folder / ".metadata").write_bytes(pickle.dumps(payload))


def evil_unsharded_part(folder: Path, payload: Malicious) -> None:
    torch.save({"model": {}, "iteration": payload}, folder / "whole.pth")


def evil_piece(folder: Path, payload: Malicious) -> None:
    path = folder / first_piece(json.loads((folder / "index.json").read_bytes()))[2]
    start = path.stat().st_size
    zip_with_pickle(pickle.dumps(payload, protocol=2), folder / "evil")
    path.write_bytes(path.read_bytes() + (folder / "evil").read_bytes())
    forge_index(folder, lambda body: first_piece(body).__setitem__(slice(3, 5), [start, path.stat().st_size - start]))


@pytest.mark.parametrize("plant", [evil_metadata, evil_unsharded_part, evil_piece])
def test_code_in_a_folder_is_not_run(plant, run):
    """Not even if the attacker has corrected the sizes and checksums."""
    folder, marker = run / "model_final", run / "side_effect"
    plant(folder, Malicious(marker))
    sizes = {path.name: path.read_bytes() for path in folder.iterdir()}

    def correct(body: dict) -> None:
        body["files"] = {name: [len(sizes[name]), zlib.crc32(sizes[name])] for name in body["files"]}

    forge_index(folder, correct)
    checkpoints = RunCheckpoints(run, max_to_keep=2)
    assert checkpoints.find_last() == folder
    if plant is evil_metadata:
        read_file(folder)  # the pickle is not read
    else:
        with pytest.raises(InputError, match="is refused"):
            read_file(folder)
        with pytest.raises(InputError, match="is refused"):
            checkpoints.load(folder, trained_state(2, sharded=False)[2])
    assert not marker.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["model"].pop("0.weight"), r"model\.0\.weight is not in this run"),
        (lambda state: state["model"].update(more=torch.ones(1)), r"model\.more is not in the checkpoint"),
        (
            lambda state: state["model"].update({"0.bias": torch.ones(9)}),
            r"0\.bias is \[64\] there and \[9\] here",
        ),
        (lambda state: state.pop("optimizer"), "and 9 more; resume with the config that wrote it"),
    ],
)
def test_a_folder_of_another_run(change, message, run):
    state = trained_state(2, sharded=False)[2]
    change(state)
    with pytest.raises(InputError, match=message):
        RunCheckpoints(run, max_to_keep=2).load(run / "model_final", state)


def test_killed_between_the_two_renames(run, expected):
    """A folder cannot be replaced atomically; the earlier one is restored."""
    (run / "model_final").rename(run / ".model_final.replaced")
    (run / ".model_0000002.replaced").mkdir()
    (run / ".model_0000004.partial").mkdir()
    checkpoints = RunCheckpoints(run, max_to_keep=2)
    assert names(run) == ["last_checkpoint", "model_0000002", "model_0000003", "model_best", "model_final"]
    assert_same(read_file(checkpoints.find_last()), expected)


def test_another_folder(tmp_path):
    with pytest.raises(InputError, match="is a folder; name the weight file inside it"):
        read_weights(tmp_path)
    with pytest.raises(InputError, match=r"has no index\.json"):
        RunCheckpoints(tmp_path, max_to_keep=1).load(tmp_path, {})
