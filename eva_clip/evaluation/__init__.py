"""Zero-shot classification and retrieval.

The evaluators, which need Detectron2, are imported from their modules, so that the rest does without.
"""

from .prompts import read_class_names, read_templates
from .zero_shot_classifier import build_zero_shot_weights

__all__ = ["build_zero_shot_weights", "read_class_names", "read_templates"]
