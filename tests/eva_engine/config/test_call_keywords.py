"""Keywords that a config may give to a callable, with their types."""

import pytest
from detectron2.data import build_detection_train_loader

from detectron2_ext.modeling import CascadeROIHeads, FastRCNNOutputLayers
from eva_engine.config.call_keywords import call_keywords
from eva_engine.data import build_train_loader


def accepts_anything(**kwargs):
    return kwargs


@pytest.mark.parametrize(
    ("target", "keyword", "expected_type"),
    [
        (CascadeROIHeads, "use_soft_nms", bool),
        (CascadeROIHeads, "maskness_thresh", float),
        (CascadeROIHeads, "box_pooler", None),
        (CascadeROIHeads, "proposal_append_gt", bool),  # two classes up
        ("detectron2_ext.modeling.FastRCNNOutputLayers", "test_topk_per_image", int),
        (build_detection_train_loader, "pin_memory", bool),
        (build_train_loader, "total_batch_size", int),
        (build_train_loader, "prefetch_factor", int),
        (build_train_loader, "sampler", None),
    ],
)
def test_keyword_is_found_with_its_type(target, keyword, expected_type):
    assert call_keywords(target)[keyword] is expected_type


def test_unknown_keywords_are_not_listed():
    assert "self" not in call_keywords(FastRCNNOutputLayers)
    assert "kwargs" not in call_keywords(FastRCNNOutputLayers)
    assert call_keywords(accepts_anything) is None
