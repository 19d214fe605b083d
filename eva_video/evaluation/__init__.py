"""Accuracy over the views of videos, for Detectron2's evaluation loop."""

from .video_evaluator import VideoEvaluator

__all__ = ["VideoEvaluator"]
