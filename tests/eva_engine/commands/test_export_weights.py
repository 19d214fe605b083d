import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eva_engine.checkpoint import read_weights
from eva_engine.commands.export_weights import main


def checkpoint(**more) -> dict:
    tied = torch.arange(6.0).reshape(2, 3)
    weights = {"a.weight": tied, "b.weight": tied, "steps": torch.tensor(7), "t": torch.ones(3, 2).t()}
    average = {name: value / 2 for name, value in weights.items() if name != "steps"}
    return {"model": weights, "ema": average, "optimizer": {"state": {}}, "iteration": 3, **more}


@pytest.mark.parametrize("entry", ["model", "ema", "swa"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["out.pth", "out.safetensors"])
def test_exported_from_a_file(entry, half, name, tmp_path):
    content = checkpoint(swa={"a.weight": torch.ones(2)})
    torch.save(content, tmp_path / "model_0000003.pth")
    options = ["--entry", entry, *(["--half"] if half else [])]
    assert main([str(tmp_path / "model_0000003.pth"), str(tmp_path / name), *options]) == 0
    if name.endswith(".pth"):
        stored = torch.load(tmp_path / name, weights_only=True)
        assert list(stored) == ["model"]
        stored = stored["model"]
    else:
        stored = load_file(tmp_path / name)
    assert stored.keys() == content[entry].keys()
    for key, value in content[entry].items():
        wanted = torch.float16 if half and value.is_floating_point() else value.dtype
        assert stored[key].dtype == wanted
        assert torch.equal(stored[key], value.to(wanted))
    assert read_weights(tmp_path / name).keys() == stored.keys()


def sharded_checkpoint(folder: Path) -> Path:
    """A single process writes the same kind of folder as several that shard their weights."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    from eva_engine.checkpoint import RunCheckpoints

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        state = checkpoint()
        for entry in ("model", "ema"):
            state[entry]["a.weight"] = distribute_tensor(state[entry]["a.weight"], mesh, [Shard(0)])
        RunCheckpoints(folder, max_to_keep=1, asynchronous=False).save("model_0000003", state)
    finally:
        dist.destroy_process_group()
    return folder / "model_0000003"


def test_exported_from_a_folder(tmp_path):
    folder = sharded_checkpoint(tmp_path)
    for entry in ("model", "ema"):
        assert main([str(folder), str(tmp_path / "out.pth"), "--entry", entry]) == 0
        stored = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
        assert stored.keys() == checkpoint()[entry].keys()
        for key, value in checkpoint()[entry].items():
            assert torch.equal(stored[key], value)
    shutil.rmtree(folder)


def test_names_of_files_are_printed_safely(tmp_path, capsys):
    torch.save(checkpoint(), tmp_path / "a\x1b[2J.pth")
    assert main([str(tmp_path / "a\x1b[2J.pth"), str(tmp_path / "b\n.pth")]) == 0
    assert capsys.readouterr().out.rstrip("\n").isprintable()


def test_adapters_are_merged(tmp_path):
    content = {"layer.base_layer.weight": torch.zeros(2, 3), "layer.lora_A.default.weight": torch.ones(1, 3)}
    content["layer.lora_B.default.weight"] = torch.ones(2, 1)
    torch.save({"model": content, "lora": {"rank": 1, "alpha": 4.0}}, tmp_path / "in.pth")
    assert main([str(tmp_path / "in.pth"), str(tmp_path / "out.pth")]) == 0
    stored = torch.load(tmp_path / "out.pth", weights_only=True)["model"]
    assert stored.keys() == {"layer.weight"}
    assert torch.equal(stored["layer.weight"], torch.full((2, 3), 4.0))


@pytest.mark.parametrize(
    ("output", "content", "message"),
    [
        ("in.pth", checkpoint(), "is the input itself"),
        ("missing/out.pth", checkpoint(), "does not exist; create it first"),
        ("out.pth", {"model": checkpoint()["model"]}, "has no entry 'ema'"),
        ("out.pth", checkpoint(ema=3), "has no entry 'ema'"),
        ("out.pth", checkpoint(ema={"decay": 0.5}), "has no named tensors"),
    ],
)
def test_unusable(output, content, message, tmp_path, capsys):
    torch.save(content, tmp_path / "in.pth")
    before = (tmp_path / "in.pth").read_bytes()
    assert main([str(tmp_path / "in.pth"), str(tmp_path / output), "--entry", "ema"]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "in.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]
