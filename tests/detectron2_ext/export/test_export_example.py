"""The module that runs an exported detector without PyTorch finds what the predictor finds."""

from types import SimpleNamespace

import matplotlib.cbook
import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image
from tiny_detectors import run_by_torch, tiny_detector, tiny_predictor

from detectron2_ext.export import example
from detectron2_ext.export.task_export import DetectionExport
from eva_deploy.task_export import ExportOptions


def test_objects_and_masks_are_those_of_the_predictor():
    predictor = tiny_predictor(tiny_detector("eva01", "hard"))
    export, options = DetectionExport(), ExportOptions()
    (graph,) = export.graphs(predictor, options)
    run = run_by_torch(graph)

    def run_session(names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        outputs = run([feeds[item.name] for item in graph.inputs])
        return [outputs[name] for name in names]

    session = SimpleNamespace(get_outputs=lambda: [SimpleNamespace(name=n) for n in graph.outputs], run=run_session)
    metadata = {"settings": export.settings(predictor, options), "class_names": list(predictor.class_names)}
    photo = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    expected = predictor(np.asarray(photo))
    found = example.detect(session, metadata, photo, predictor.score_threshold)
    assert len(found) == len(expected) > 5
    for index, item in enumerate(found):
        assert item["name"] == predictor.class_names[expected.class_ids[index]]
        assert item["score"] == pytest.approx(expected.scores[index], abs=1e-5)
        assert item["box"] == pytest.approx(expected.boxes[index].tolist(), abs=1e-2)
        mask = mask_util.decode(expected.rles[index]).astype(bool)
        # Interpolated in float64: single pixels at the threshold may differ.
        assert (item["mask"] != mask).sum() <= 1 + 0.001 * mask.sum()
