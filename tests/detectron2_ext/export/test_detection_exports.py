"""Exported detectors of every backbone compute in every runtime what the detector computes, also in batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_detectors import pad, tiny_detector, tiny_predictor

from detectron2_ext.export.task_export import DetectionExport
from eva_deploy.formats.onnx_format import write_onnx
from eva_deploy.formats.openvino_format import write_openvino
from eva_deploy.formats.table import load_graph
from eva_deploy.formats.torch_format import write_torch
from eva_deploy.metadata import Metadata
from eva_deploy.task_export import ExportOptions
from eva_deploy.tracing import trace
from eva_engine.inference_precision import InferencePrecision, convert_for_inference


def graph_of(model):
    (graph,) = DetectionExport().graphs(tiny_predictor(model), ExportOptions())
    return graph


def metadata_of(graph, format_name: str, dtype: str = "float32") -> Metadata:
    return Metadata(
        task="detection",
        format=format_name,
        dtype=dtype,
        graph=graph.name,
        graphs={graph.name: graph.description},
        class_names=(),
        settings={},
        recipe="",
        project="",
        details={},
    )


def write_all(graph, folder: Path) -> dict[str, Path]:
    """Write a graph in every format from one trace, and return the files."""
    import openvino

    program = trace(graph)
    files = {
        name: folder / f"model{suffix}" for name, suffix in (("torch", ".pt2"), ("onnx", ".onnx"), ("openvino", ".xml"))
    }
    write_torch(program, metadata_of(graph, "torch"), files["torch"])
    write_onnx(program, graph, metadata_of(graph, "onnx"), files["onnx"])
    converted = openvino.convert_model(files["onnx"])
    write_openvino(converted, metadata_of(graph, "openvino"), files["openvino"], compress_to_fp16=False)
    return files


def assert_computes_the_same(graph, path: Path, metadata: Metadata, images, tolerance: float = 1.0) -> None:
    run = load_graph(path, metadata, "cpu")
    for batch in (images, images[1:], [images[0], torch.zeros(3, 16, 16), images[1]]):
        inputs = pad(batch)
        with torch.inference_mode():
            expected = dict(zip(graph.outputs, graph.module.eval()(*inputs), strict=True))
        found = {name: torch.from_numpy(value) for name, value in run([x.numpy() for x in inputs]).items()}
        assert expected["is_valid"][0].sum() > 5
        for name in ("is_valid", "classes", "proposals_are_full"):
            assert torch.equal(found[name], expected[name]), name
        for name, largest in (("boxes", 1e-3), ("scores", 1e-5), ("masks", 1e-4), ("box_scores", 1e-5)):
            if name in expected:
                torch.testing.assert_close(found[name], expected[name], rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize(
    ("net", "kind", "heads"),
    [("eva01", "soft", "cascade"), ("eva02", "sigmoid", "cascade"), ("timm", "hard", "standard")],
)
def test_every_runtime_computes_the_same(net, kind, heads, images, tmp_path):
    graph = graph_of(tiny_detector(net, kind, heads))
    for format_name, path in write_all(graph, tmp_path).items():
        assert_computes_the_same(graph, path, metadata_of(graph, format_name), images)


def test_weights_in_lower_precision_decide_about_boxes_in_float32(images):
    model = tiny_detector("eva02", "boxes")
    convert_for_inference(model, InferencePrecision(torch.bfloat16, torch.bfloat16))
    graph = graph_of(model)
    program = trace(graph).module()
    inputs = pad(images)
    with torch.inference_mode():
        expected = dict(zip(graph.outputs, graph.module.eval()(*inputs), strict=True))
        found = dict(zip(graph.outputs, program(*inputs), strict=True))
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    # Coordinates in bfloat16 would be multiples of a quarter.
    valid = found["boxes"][found["is_valid"]]
    assert np.abs(valid * 4 - (valid * 4).round()).max() > 0.1
    torch.testing.assert_close(found["scores"][:, 0], expected["scores"][:, 0], rtol=0, atol=0.05)
