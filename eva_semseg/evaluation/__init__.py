"""Evaluation of label maps, for Detectron2's evaluation loop."""

from .segmentation_evaluator import SegmentationEvaluator

__all__ = ["SegmentationEvaluator"]
