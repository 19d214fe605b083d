"""Zero-shot classification and retrieval.

What needs Detectron2, the evaluators and their loaders, is imported from its module, so that the rest does without.
"""

from .prompts import read_class_names, read_templates
from .zero_shot_classifier import build_zero_shot_weights

__all__ = ["build_zero_shot_weights", "read_class_names", "read_templates"]
