"""Evaluate the accuracy of video classifiers over the views of each video, in Detectron2's evaluation loop."""

from .video_evaluator import VideoEvaluator

__all__ = ["VideoEvaluator"]
