"""Zero-shot classification and image-text retrieval.

The evaluators depend on Detectron2. They are imported from their own modules, so that the rest works without it.
"""

from .class_names import read_class_names
from .prompts import read_templates
from .zero_shot_classifier import build_zero_shot_weights

__all__ = ["build_zero_shot_weights", "read_class_names", "read_templates"]
