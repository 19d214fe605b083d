"""Exported files that are damaged, foreign, of another version or of another task are refused with one sentence."""

import json
import math
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_deploy.exported_model import GraphFunction
from eva_deploy.formats import table
from eva_deploy.formats.onnx_format import read_onnx_metadata
from eva_deploy.formats.openvino_format import read_openvino_metadata
from eva_deploy.formats.table import read_metadata
from eva_deploy.metadata import ENTRY, Metadata
from eva_deploy.opening import open_graphs, open_model
from eva_deploy.parity import Parity
from eva_deploy.task_export import Agreement
from eva_engine.commands.verbs import main
from eva_engine.exported_models import check_exported, is_exported
from tests.fuzz import exported as fuzz

GRAPH = fuzz.GRAPH
METADATA = Metadata.from_json(fuzz.metadata("onnx"), "model.onnx")


def onnx_bytes(text: str | None) -> bytes:
    """Return a message `ModelProto`: version 10, a graph of 5,000 bytes, and metadata."""
    content = (
        fuzz.varint(8)
        + fuzz.varint(10)
        + fuzz.field(7, b"\x0a" * 5000)
        + fuzz.field(14, fuzz.field(1, b"other") + fuzz.field(2, b"1"))
    )
    if text is not None:
        content += fuzz.field(14, fuzz.field(1, ENTRY.encode()) + fuzz.field(2, text.encode()))
    return content


def write(path: Path, text: str | None) -> Path:
    path.write_bytes(onnx_bytes(text))
    return path


def test_the_metadata_of_an_onnx_file_are_found_after_its_graph(tmp_path):
    path = write(tmp_path / "model.onnx", METADATA.to_json())
    assert read_metadata(path) == METADATA


def test_a_truncated_onnx_file(tmp_path):
    content = onnx_bytes(METADATA.to_json())
    path = tmp_path / "model.onnx"
    for length in (1, 3, 100, 5030, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=rf"is truncated \({length:,} bytes\)"):
            read_onnx_metadata(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no metadata of EVA Vision"),
        ("{", "cannot be read, the file is damaged"),
        ("[" * 100_000, "cannot be read, the file is damaged"),
        ("[1]", "has no version"),
        (json.dumps({"version": 9, "project": "7.0"}), "by EVA Vision 7.0 with version 9 of the metadata"),
        (json.dumps({**json.loads(METADATA.to_json()), "recipe": 3}), "recipe is missing or wrong"),
        (json.dumps({**json.loads(METADATA.to_json()), "graph": "other"}), "contradicts itself"),
        (json.dumps({**json.loads(METADATA.to_json()), "graphs": {"model": {"inputs": [3]}}}), "contradicts itself"),
        (json.dumps({**json.loads(METADATA.to_json()), "format": "torch"}), "of the format torch"),
    ],
    ids=["foreign", "damaged", "nested", "list", "version", "type", "graph", "inputs", "format"],
)
def test_wrong_metadata(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_metadata(write(tmp_path / "model.onnx", text))


def test_an_xml_file_with_entities_is_not_expanded(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text('<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><net><rt_info>&b;</rt_info></net>')
    with pytest.raises(InputError, match="not a model of OpenVINO"):
        read_openvino_metadata(path)
    path.write_text("<net><rt_info>")
    with pytest.raises(InputError, match=r"is truncated \(14 bytes\)"):
        read_openvino_metadata(path)
    path.write_text("<net/>")
    assert read_openvino_metadata(path) is None


def test_a_compressed_record_of_a_program_is_not_read(tmp_path):
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"model/extra/{ENTRY}", METADATA.to_json())
    with pytest.raises(InputError, match="has no metadata"):
        read_metadata(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="is truncated"):
        read_metadata(path)


def test_mutated_files_are_read_or_refused():
    fuzz.run(rounds=200, seed=1)


def test_a_program_must_be_trusted(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"is a program.*add --trust-recipe .*model.pt2"):
        check_exported(path, [])
    check_exported(path, [str(tmp_path / "../" / tmp_path.name / "model.pt2")])
    check_exported(tmp_path / "model.onnx", [])
    assert main(["predict", "--weights", str(path), "--input", str(tmp_path)]) == 2


def test_names_of_exported_models():
    assert is_exported("a/MODEL.ONNX")
    assert not is_exported("a/model.pth")
    assert not is_exported("model_onnx")


def test_a_file_of_another_task_is_refused(tmp_path):
    path = write(tmp_path / "model.onnx", METADATA.to_json())
    cfg = OmegaConf.create({"model": {"_target_": "eva_video.VideoClassifier"}})
    with pytest.raises(InputError, match="is an exported model for classification, but the config is for video"):
        open_model(path, cfg)


def test_a_graph_that_the_runtime_refuses(tmp_path):
    path = write(tmp_path / "model.onnx", METADATA.to_json())
    with pytest.raises(InputError, match="cannot be loaded by ONNX Runtime"):
        open_graphs(path, METADATA)


def test_a_missing_part(tmp_path):
    two = Metadata.from_json(
        json.dumps({**json.loads(METADATA.to_json()), "graphs": {"other": GRAPH, "model": GRAPH}}), "model.onnx"
    )
    with pytest.raises(InputError, match=r"the file other\.onnx is missing next to model\.onnx"):
        open_graphs(write(tmp_path / "model.onnx", two.to_json()), two)
    outside = Metadata(**{**vars(two), "graphs": {"../other": GRAPH, "model": GRAPH}})
    write(tmp_path / "other.onnx", None)
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=r"the file other\.onnx is missing"):
        open_graphs(write(tmp_path / "sub/model.onnx", outside.to_json()), outside)


def test_parts_of_two_exports(tmp_path):
    graphs = {"graphs": {"other": GRAPH, "model": GRAPH}}
    two = Metadata(**{**vars(METADATA), **graphs})
    write(tmp_path / "other.onnx", Metadata(**{**vars(two), "graph": "other", "settings": {}}).to_json())
    with pytest.raises(InputError, match=r"other\.onnx is from another export than model\.onnx"):
        open_graphs(write(tmp_path / "model.onnx", two.to_json()), two)


def test_an_input_of_another_shape():
    import torch

    graph = GraphFunction(lambda _: {}, GRAPH["inputs"], Path("model.onnx"))
    with pytest.raises(InputError, match=r"takes inputs of shape \[batch, 3, 8, 8\], this one is \[2, 3, 8, 9\]"):
        graph(torch.zeros(2, 3, 8, 9))


def test_a_difference_that_is_not_a_number_is_never_lost():
    nan, small = Agreement({"score": math.nan}, 1, 1), Agreement({"score": 0.1}, 1, 1)
    for total in (nan + small, small + nan):
        assert math.isnan(total.differences["score"])
        assert Parity(total, 2, {"score": 1.0}, 0.9).excesses
    assert not Parity(small, 2, {"score": 1.0}, 0.9).excesses
    assert (small + Agreement({"score": 0.3, "mask": 0.2}, 0, 1)).differences == {"score": 0.3, "mask": 0.2}


def test_models_that_find_nothing_have_not_been_compared():
    (excess,) = Parity(Agreement(), 4, {"score": 1.0}, 0.9).excesses
    assert excess.startswith("nothing was found by either model, so nothing was compared; give --images")


@pytest.mark.parametrize("format_name", ["onnx", "openvino"])
def test_a_missing_package_of_a_format_is_named(format_name, monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda name: None if name == "onnx" else object())
    with pytest.raises(InputError, match=rf"the format {format_name} needs onnx, which is not installed"):
        table.check_packages(format_name)
