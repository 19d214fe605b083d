"""COCO and LVIS evaluators for Detectron2's evaluation loop."""

from .coco_evaluation import COCOEvaluator
from .lvis_evaluation import LVISEvaluator

__all__ = ["COCOEvaluator", "LVISEvaluator"]
