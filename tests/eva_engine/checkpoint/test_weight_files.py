import argparse
import contextlib
import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import read_weights
from eva_engine.checkpoint.files import read_file

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([7.0, 8.0])}


def save_safetensors(state, path):
    save_file(state, path)


def save_legacy(state, path):
    torch.save({"model": state}, path, _use_new_zipfile_serialization=False)


def save_zoo_pickle(state, path, protocol=2):
    arrays = {name: value.numpy() for name, value in state.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "zoo"}, protocol=protocol))


def save_wrapped(*keys, **others):
    def save(state, path):
        content = OrderedDict(state)
        for key in keys:
            content = {key: content, **others}
        torch.save(content, path)

    return save


LAYOUTS = {
    "bare": save_wrapped(),
    "model": save_wrapped("model", epoch=3, optimizer={"state": {}}),
    "module": save_wrapped("module"),
    "state_dict": save_wrapped("state_dict"),
    "model_ema": save_wrapped("model_ema"),
    "nested": save_wrapped("state_dict", "model"),
    "model before model_ema": save_wrapped("model", model_ema={"a.weight": torch.zeros(2, 3)}),
    "parallel prefix": lambda state, path: torch.save({f"module.{k}": v for k, v in state.items()}, path),
    "parameters": lambda state, path: torch.save({k: nn.Parameter(v) for k, v in state.items()}, path),
    "legacy": save_legacy,
    "safetensors": save_safetensors,
    "zoo pickle, protocol 2": save_zoo_pickle,
    "zoo pickle, protocol 4": lambda state, path: save_zoo_pickle(state, path, 4),
    "zoo pickle, protocol 5": lambda state, path: save_zoo_pickle(state, path, 5),
}


@pytest.mark.parametrize("save", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_layouts(save, dtype, tmp_path):
    state = {name: value.to(dtype) for name, value in STATE.items()}
    save(state, tmp_path / "weights.bin")
    weights = read_weights(tmp_path / "weights.bin")
    assert weights.keys() == state.keys()
    for name, value in weights.items():
        assert value.dtype == dtype
        assert not value.requires_grad
        assert torch.equal(value, state[name])


def test_bfloat16_and_other_entries(tmp_path):
    torch.save(
        {"model": {"a": torch.ones(2).bfloat16(), "version": 1, "sparse": torch.eye(3).to_sparse()}}, tmp_path / "w.pt"
    )
    weights = read_weights(tmp_path / "w.pt")
    assert list(weights) == ["a"]
    assert weights["a"].dtype == torch.bfloat16


def test_pickled_arrays_of_every_order(tmp_path):
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big endian": np.arange(4, dtype=">f4"),
        "scalar": np.float32(2.5),
        "integers": np.arange(3),
        "empty": np.zeros((0, 2), np.float32),
        "not numeric": "text",
    }
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    weights = read_weights(path)
    assert weights.keys() == arrays.keys() - {"not numeric"}
    for name, value in weights.items():
        np.testing.assert_array_equal(value.numpy(), arrays[name])


def test_python2_pickle(tmp_path):
    """Text of Python 2 is bytes; arrays hold it as their data."""
    data = np.arange(2, dtype="<f4").tobytes()
    pickled = (
        b"\x80\x02}q\x00U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + data + b"tbs."
    )  # fmt: skip
    (tmp_path / "w.pkl").write_bytes(pickled)
    assert read_weights(tmp_path / "w.pkl")["a"].tolist() == [0.0, 1.0]


class Malicious:
    """Unpickled carelessly, makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def zip_with_pickle(payload: bytes, path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"model": STATE}, buffer)
    with zipfile.ZipFile(buffer) as original, zipfile.ZipFile(path, "w") as forged:
        for name in original.namelist():
            forged.writestr(name, payload if name.endswith("data.pkl") else original.read(name))


MALICIOUS = {
    "torch": lambda content, path: torch.save(content, path),
    "legacy torch": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "plain pickle": lambda content, path: path.write_bytes(pickle.dumps(content)),
    "forged archive": lambda content, path: zip_with_pickle(pickle.dumps(content, protocol=2), path),
}


@pytest.mark.parametrize("save", MALICIOUS.values(), ids=MALICIOUS)
def test_code_is_refused_and_not_run(save, tmp_path):
    marker, path = tmp_path / "side_effect", tmp_path / "weights.pth"
    save({"model": STATE if save is not MALICIOUS["plain pickle"] else {}, "extra": Malicious(marker)}, path)
    with pytest.raises(InputError, match=r"weights\.pth is refused.*(mkdir|_load_from_bytes).*if you trust its source"):
        read_weights(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Malicious(marker)))  # the payload does work
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "torch.load", "numpy.load", "numpy.core.multiarray.fromfile", "_codecs.decode"]
)
def test_only_numpy_arrays_in_pickles(name, tmp_path):
    module, _, attribute = name.rpartition(".")
    (tmp_path / "w.pkl").write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(InputError, match="is refused.*" + name.replace(".", r"\.")):
        read_weights(tmp_path / "w.pkl")


def test_announced_bytes_take_no_memory(tmp_path):
    (tmp_path / "w.pkl").write_bytes(b"\x80\x05\x96" + (1 << 30).to_bytes(8, "little") + b".")
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"w\.pkl"):
            read_weights(tmp_path / "w.pkl")
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_dict_referred_to_twice_is_converted_once(tmp_path):
    shared = {"a": np.zeros(1)}
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"one": shared, "two": shared}))
    content = read_file(tmp_path / "w.pkl")
    assert isinstance(content["one"]["a"], torch.Tensor)
    assert content["one"] is content["two"]


def test_objects_are_refused_by_name_without_advice_to_run_them(tmp_path):
    torch.save({"model": STATE, "args": argparse.Namespace(lr=1.0)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"argparse\.Namespace.*save only its weights") as caught:
        read_weights(tmp_path / "w.pth")
    assert "weights_only" not in str(caught.value)


def make_unusable(kind: str, path: Path) -> None:
    complete = io.BytesIO()
    torch.save({"model": {"a": torch.zeros(5000)}}, complete)
    zoo = pickle.dumps({"model": {"a": np.zeros(5000)}})
    header = json.dumps({"a": {"dtype": "F32", "shape": [5000], "data_offsets": [0, 20000]}}).encode()
    content = {
        "empty": b"",
        "text": b"hello",
        "web page": b"\n<!DOCTYPE html><html>log in</html>",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n",
        "torch cut short": complete.getvalue()[:9000],
        "pickle cut short": zoo[:9000],
        "safetensors cut short": len(header).to_bytes(8, "little") + header + bytes(100),
        "wrong buffer size": zoo.replace(b"M\x88\x13\x85", b"M\x89\x13\x85"),
    }.get(kind)
    if kind == "folder":
        path.mkdir()
    elif kind == "number":
        torch.save(3, path)
    elif kind == "no tensors":
        torch.save({"model": {"epoch": 1}}, path)
    elif kind == "expanded":
        torch.save({"a": torch.zeros(1).expand(10**12)}, path)
    elif kind in ("compressed", "other zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/data.pkl" if kind == "compressed" else "x/readme", bytes(10**6))
    elif kind == "torchscript":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", b"")
            archive.writestr("x/constants.pkl", b"")
    elif content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "is not a weight file"),
        ("web page", "is a web page"),
        ("lfs", "Git LFS pointer"),
        ("torch cut short", "truncated"),
        ("pickle cut short", "truncated"),
        ("safetensors cut short", "truncated"),
        ("wrong buffer size", "bytes for an array of shape"),
        ("number", "has no named tensors .found a int"),
        ("no tensors", "has no named tensors .found the keys epoch"),
        ("expanded", "more bytes than the file has"),
        ("compressed", "compressed records"),
        ("other zip", "torch.save did not write"),
        ("torchscript", "TorchScript"),
    ],
)
def test_unusable_files(kind, message, tmp_path):
    path = tmp_path / "w.pth"
    make_unusable(kind, path)
    with pytest.raises(InputError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save", [LAYOUTS["model"], save_legacy, save_zoo_pickle, save_safetensors])
def test_any_damage_is_an_input_error_or_harmless(save, tmp_path):
    path = tmp_path / "w.bin"
    save(STATE, path)
    original, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(original)
        for position in rng.integers(len(damaged), size=rng.integers(1, 5)):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_weights(path)


def test_writing_to_the_weights_leaves_the_file(tmp_path):
    for save in (LAYOUTS["bare"], save_safetensors):
        save(STATE, tmp_path / "w.bin")
        before = (tmp_path / "w.bin").read_bytes()
        read_weights(tmp_path / "w.bin")["a.weight"].fill_(99)
        assert (tmp_path / "w.bin").read_bytes() == before
