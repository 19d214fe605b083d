"""Weight files that are made to take memory or time, or to break assumptions: one sentence, or what is usable."""

import io
import pickle
import resource
import struct
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import WIDTH, TinyDetector, TinyViT, random_state

from eva_backbone.errors import InputError
from eva_engine.checkpoint import load_checkpoint, read_weights
from eva_engine.inspection.format import describe_names, describe_summary
from eva_engine.inspection.summary import read_summary
from eva_engine.inspection.weight_facts import describe_model
from tests.fuzz import weights as fuzz

MAX_SECONDS, MAX_BYTES = 10, 2 * 10**9


@contextmanager
def bounded():
    """Limit address space and processor time to what an unusual file may take in addition to an ordinary one."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, start = resource.getrlimit(resource.RLIMIT_AS), time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MAX_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - start < MAX_SECONDS


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(name: str, arguments: bytes) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n(".encode() + arguments + b"tR"


def number(value: int) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]


def storage(key: str, size: int) -> bytes:
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(size) + b"tQ"


def tensor(size: str, stride: str, *, offset: int = 0, elements: int = 16) -> bytes:
    sizes = b"".join(b"(" + b"".join(number(int(n)) for n in axes.split()) + b"t" for axes in (size, stride))
    return call("torch._utils._rebuild_tensor_v2", storage("0", elements) + number(offset) + sizes + b"\x89}")


WEIGHT = b"}" + text("w") + tensor("2 2", "2 1") + b"s"
NESTED = b"(K\x01K\x02t" + b"2\x86" * 60
PICKLES = {
    "bytearray": call("builtins.bytearray", number(6 * 10**9)),
    "bytearray of protocol 5": b"\x96" + (6 * 10**9).to_bytes(8, "little"),
    "tensor without a file": call("torch.FloatTensor", number(10**9)),
    "storage without a file": call("torch.storage.UntypedStorage", number(6 * 10**9)),
    "hash of nested tuples": b"}" + NESTED + b"Ns",
    "set of nested tuples": call("builtins.set", b"](" + NESTED + b"e"),
    "frozenset of nested tuples": b"(" + NESTED + b"\x91",
    "nested tuples": NESTED,
    "nested lists": WEIGHT + text("x") + b"]q\x00" + b"".join(
        b"](h%ch%ce" % (n, n) + b"q%c" % (n + 1) for n in range(60)) + b"s",
    "nested dicts": WEIGHT + text("x") + b"}q\x00" + b"".join(
        b"}(K\x01h%cK\x02h%cu" % (n, n) + b"q%c" % (n + 1) for n in range(60)) + b"s",
    "deep": WEIGHT + text("x") + b"](" * 5000 + b"e" * 5000 + b"s",
    "itself": WEIGHT + b"q\x00" + text("x") + b"h\x00s",
    "hex of hex": text("a" * 50) + b"q\x00" + b"".join(
        b"c_codecs\nencode\nh%c" % n + text("hex") + b"\x86Rq%c" % (n + 1) for n in range(30)),
    "a list copied often": b"](" + b"K\x01" * 20000 + b"eq\x00" + b"cbuiltins\nset\nh\x00\x85R" * 20000,
    "more values than weights": b"](" + b"}" * 2_000_000 + b"e",
    "number of many digits": WEIGHT + text("x") + b"\x8b" + struct.pack("<I", 10**6) + b"\x01" * 10**6 + b"s",
    "digits": WEIGHT + text("x") + b"I" + b"1" * 10**6 + b"\ns",
    "zero strides": b"}" + text("w") + tensor("1000000 1000000", "0 0") + b"s",
    "number of elements that overflows": b"}" + text("w") + tensor("4294967296 4294967296", "1 1") + b"s",
    "negative offset": b"}" + text("w") + tensor("2 2", "2 1", offset=-4) + b"s",
    "storage of other size": b"}" + text("w") + tensor("2", "1", elements=10**9) + b"s",
    "negative storage": b"}" + text("w") + tensor("2", "1", elements=-1) + b"s",
    "100,000 axes": b"}" + text("w") + tensor("1 " * 100_000, "1 " * 100_000) + b"s",
    "items of a tensor": b"}" + text("w") + tensor("2 2", "2 1") + b"q\x00sh\x00K\x00K\x01s",
    "attributes of a function": WEIGHT + b"ctorch._utils\n_rebuild_tensor_v2\n(N}X\x04\x00\x00\x00evilK\x01stb0",
    "nothing": b"",
    "stack is empty": b"s",
}  # fmt: skip
USABLE = {"attributes of a function"}


def torch_zip(content: bytes, data: bytes = bytes(64), **records: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/data/0", data)
        for name, record in records.items():
            archive.writestr(f"a/{name}.pkl", record)
    return file.getvalue()


def legacy(content: bytes) -> bytes:
    file = io.BytesIO()
    torch.save({}, file, _use_new_zipfile_serialization=False)
    empty, keys = file.getvalue(), pickle.dumps(["0"], protocol=2)
    start = empty.index(pickle.dumps({}, protocol=2), 30)
    return empty[:start] + content + keys + struct.pack("<q", 16) + bytes(64)


CONTAINERS = {
    "torch": torch_zip,
    "TorchScript": lambda content: torch_zip(content, constants=b""),
    "legacy torch": legacy,
    "NumPy pickle": lambda content: content,
}


def problem_of(action) -> str:
    """Return the sentence with which `action` is refused; "" if it is not."""
    try:
        action()
    except InputError as error:
        message = str(error)
        return message if message.isprintable() else "not printable" * 100
    return ""


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", PICKLES)
def test_pickles_take_memory_and_time_in_proportion(name, container, tmp_path):
    content = CONTAINERS[container](b"\x80\x02" + PICKLES[name] + b".")
    (tmp_path / "w.pth").write_bytes(content)
    with bounded():
        message = problem_of(lambda: list(describe_summary(read_summary(tmp_path / "w.pth"))))
    assert "weights_only" not in message
    assert "MemoryError" not in message  # refused by the limit of this test alone
    assert "allocate" not in message
    assert len(message) < 700
    assert message or name in USABLE


def test_many_tensors_on_one_memory(tmp_path):
    """Every entry alone is as large as the file, and an export would write all of them."""
    shared = torch.ones(10_000)
    torch.save({f"w{number}": shared for number in range(20)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="its tensors share memory"):
        read_weights(tmp_path / "w.pth")


def test_attributes_do_not_replace_methods(tmp_path):
    """A state of an OrderedDict would become its attributes, `items` among them."""
    content = (
        b"\x80\x02ccollections\nOrderedDict\n)R}" + text("items") + b"K\x05sb" + text("w") + tensor("2", "1") + b"s."
    )
    (tmp_path / "w.pth").write_bytes(torch_zip(content, np.arange(16, dtype="<f4").tobytes()))
    assert read_weights(tmp_path / "w.pth")["w"].tolist() == [0, 1]


def test_code_of_a_program_below_another_root(tmp_path):
    """A compressed record is neither read nor accepted unless it is the code next to the pickle that is read."""
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02}.")
        archive.writestr("b/data.pkl", b"\x80\x02" + WEIGHT + b".")
        archive.writestr("b/constants.pkl", b"")
        archive.writestr("constants.pkl", b"")
        archive.writestr("b/code/big", bytes(10**8), zipfile.ZIP_DEFLATED)
    with bounded(), pytest.raises(InputError, match="compressed records"):
        read_weights(tmp_path / "w.pth")


def test_many_records(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        for index in range(30_000):
            archive.writestr(f"a/data/{index}", b"")
        archive.writestr("a/data.pkl", b"\x80\x02}.")
    with bounded(), pytest.raises(InputError, match="no named tensors"):
        read_weights(tmp_path / "w.pth")


LONG_LIST = 17_000_000
LONG_LISTS = {  # what is before and after a list of so many bytes that it could have a million entries
    "zip": (b"PK\x03\x04" + bytes(26), b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 9, 9, LONG_LIST, 30, 0)),
    "safetensors": (struct.pack("<Q", LONG_LIST) + b"{", b"}"),
}


@pytest.mark.parametrize("kind", LONG_LISTS)
def test_long_lists_of_entries(kind, tmp_path):
    start, end = LONG_LISTS[kind]
    (tmp_path / "w.pth").write_bytes(start + bytes(LONG_LIST) + end)
    with pytest.raises(InputError, match="lists its entries in 17,000,000 bytes"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["", "a" * 10**6, "a\x1b[2Jb", "a\nb", "." * 301])
def test_names_that_no_model_has(name, tmp_path):
    torch.save({name: torch.ones(2), "a": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="a name that no model has") as caught:
        read_weights(tmp_path / "w.pth")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_prefixes_of_many_models_are_not_all_tried(tmp_path):
    torch.save({f"m{n}.blocks.0.attn.x": torch.ones(1) for n in range(5000)}, tmp_path / "w.pth")
    with bounded(), pytest.raises(InputError, match="another model"):
        load_checkpoint(TinyDetector(), tmp_path / "w.pth")


ODD = {
    "0-d": torch.tensor(1.0),
    "1-d": torch.ones(7),
    "2-d": torch.ones(4, WIDTH),
    "5-d": torch.ones(1, 2, 1, 2, 1),
    "no rows": torch.ones(0, WIDTH),
    "no channels": torch.ones(1, 5, 0),
    "empty kernel": torch.ones(WIDTH, 3, 0, 0),
    "long": torch.ones(100_001, 4),
    "bool": torch.ones(1, 5, WIDTH, dtype=torch.bool),
    "complex": torch.ones(1, 5, WIDTH, dtype=torch.complex64),
    "integers": torch.ones(1, 5, WIDTH, dtype=torch.int32),
    "float8": torch.ones(1, 5, WIDTH).to(torch.float8_e4m3fn),
    "float8 kernel": torch.ones(WIDTH, 3, 4, 4).to(torch.float8_e5m2),
    "float8 bias": torch.ones(3 * WIDTH).to(torch.float8_e5m2),
    "oblong": torch.ones(1, 7, WIDTH),
    "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "sparse": torch.eye(WIDTH).to_sparse(),
    "meta": torch.empty(2, device="meta"),
    "text": "text",
}
MODELS = {
    "detector": TinyDetector,
    "fused": lambda: TinyViT(fused_bias=True),
    "separate": TinyViT,
}


@pytest.mark.parametrize("kind", ODD)
def test_entries_of_any_shape_and_type(kind, tmp_path):
    """Every entry in turn: loaded, resized, skipped or refused, and described by `inspect`."""
    for name, build in MODELS.items():
        state = random_state(build())
        other = random_state(MODELS["separate" if name == "fused" else "fused"]())
        for entry in {*state, *other} if name == "fused" else state:
            if "blocks.1." in entry:
                continue
            base = other if entry in other and entry not in state else state
            torch.save({**base, entry: ODD[kind]}, tmp_path / "w.pth")
            model = build()
            if not problem_of(lambda: load_checkpoint(model, tmp_path / "w.pth")):  # noqa: B023
                assert all(value.isfinite().all() for value in model.state_dict().values())
            summary = read_summary(tmp_path / "w.pth")
            list(describe_names(summary))
            assert describe_model(summary.weights, None)


LAYER = {"q.base_layer.weight": torch.ones(4, 3), "q.lora_A.default.weight": torch.ones(2, 3),
         "q.lora_B.default.weight": torch.ones(4, 2)}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({}, {"rank": "x", "alpha": 1}),
        ({}, {"rank": 0, "alpha": 1}),
        ({}, {"rank": -2, "alpha": 1}),
        ({}, {"rank": 2}),
        ({}, {"rank": 2, "alpha": [1]}),
        ({}, {"rank": 3, "alpha": 1}),
        ({"q.lora_A.default.weight": torch.tensor(1.0)}, {"rank": 2, "alpha": 1}),
        ({"q.lora_A.default.weight": torch.ones(2, 5)}, {"rank": 2, "alpha": 1}),
        ({"q.lora_B.default.weight": torch.ones(4)}, {"rank": 2, "alpha": 1}),
        ({"q.base_layer.weight": torch.ones(4, 3, 1)}, {"rank": 2, "alpha": 1}),
    ],
)
def test_settings_and_shapes_of_adapters(changes, settings, tmp_path):
    torch.save({"model": {**LAYER, **changes}, "lora": settings}, tmp_path / "w.pth")
    for read in (read_weights, read_summary) if settings["rank"] else (read_weights,):
        with pytest.raises(InputError, match=r"train\.lora|adapters of shapes"):
            read(tmp_path / "w.pth")


def test_mutated_files():
    fuzz.run(rounds=200, seed=0)
