"""COCO and LVIS evaluators for Detectron2's evaluation loop."""

from .coco_evaluator import COCOEvaluator
from .lvis_evaluator import LVISEvaluator

__all__ = ["COCOEvaluator", "LVISEvaluator"]
