"""Weights of TorchScript archives, whose program is never run."""

import contextlib
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import read_weights

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(4))
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))
        self.sizes = [1, 2]

    def forward(self, x):
        return self.blocks(x + self.class_embedding)


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = Tower()
        self.logit_scale = nn.Parameter(torch.ones([]))
        self.register_buffer("input_resolution", torch.tensor(224))

    def forward(self, x):
        return self.visual(x) * self.logit_scale


@pytest.fixture
def saved(tmp_path):
    """The state of a module, and the file of its program."""
    module = Clip().eval()
    module.visual.half()
    torch.jit.script(module).save(tmp_path / "clip.pt")
    return module.state_dict(), tmp_path / "clip.pt"


def test_the_state_of_the_module(saved):
    state, path = saved
    found = read_weights(path)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


def test_views_of_one_memory(tmp_path):
    module = nn.Linear(3, 2)
    module.weight = nn.Parameter(torch.arange(6.0).reshape(3, 2).t())
    torch.jit.script(module).save(tmp_path / "linear.pt")
    assert torch.equal(read_weights(tmp_path / "linear.pt")["weight"], module.weight)


def rewrite(source, target, change):
    """Copy an archive, its records changed by `change(name, data)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for record in old.infolist():
            new.writestr(record, change(record.filename, old.read(record)))


def test_records_under_many_names_are_refused(saved):
    """Read one by one they would take more memory than any file that holds them."""
    with zipfile.ZipFile(saved[1], "a") as archive:
        record = next(record for record in archive.infolist() if record.filename.endswith("/data.pkl"))
        archive.filelist += [record] * 100
        archive._didModify = True
    with pytest.raises(InputError, match="records that overlap"):
        read_weights(saved[1])


def test_compressed_weights_in_the_place_of_the_code_are_refused(saved, tmp_path):
    with (
        zipfile.ZipFile(saved[1]) as old,
        zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name.replace("clip/", "clip/code/"), old.read(name))
    with pytest.raises(InputError, match="compressed records"):
        read_weights(tmp_path / "w.pt")


class Planted:
    def __reduce__(self):
        return print, ("planted code ran",)


def test_planted_code_is_refused(saved, tmp_path, capsys):
    def plant(name, data):
        return pickle.dumps(Planted(), protocol=2) if name.endswith("/data.pkl") else data

    rewrite(saved[1], tmp_path / "planted.pt", plant)
    with pytest.raises(InputError, match=r"is refused: .*__builtin__.print.*save only its weights"):
        read_weights(tmp_path / "planted.pt")
    assert "planted" not in capsys.readouterr().out


def test_program_is_not_needed(saved, tmp_path):
    rewrite(saved[1], tmp_path / "no_code.pt", lambda name, data: b"!" if "/code/" in name else data)
    assert read_weights(tmp_path / "no_code.pt").keys() == saved[0].keys()


def test_short_records(saved, tmp_path):
    rewrite(saved[1], tmp_path / "short.pt", lambda name, data: data[:-2] if "/data/" in name else data)
    with pytest.raises(InputError, match="cannot be read as a TorchScript file"):
        read_weights(tmp_path / "short.pt")


def test_module_inside_itself(saved, tmp_path):
    """A tower whose memo entry is referred to by its own attribute."""
    program = b"\x80\x02c__torch__\nM\nq\x00)\x81q\x01}(X\x04\x00\x00\x00selfh\x01X\x01\x00\x00\x00nK\x03ub."
    rewrite(saved[1], tmp_path / "loop.pt", lambda name, data: program if name.endswith("/data.pkl") else data)
    with pytest.raises(InputError, match="no named tensors"):
        read_weights(tmp_path / "loop.pt")


def test_any_damage_is_an_input_error_or_harmless(saved, tmp_path):
    original, rng = saved[1].read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(original)
        for position in rng.integers(len(damaged), size=rng.integers(1, 5)):
            damaged[position] = rng.integers(256)
        (tmp_path / "damaged.pt").write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_weights(tmp_path / "damaged.pt")
