"""Video classification on the EVA backbone; models import without Detectron2."""

from .classifier import VideoClassifier
from .kinetics import kinetics_names, rows_of_k722
from .models import MODELS, create_video_classifier
from .state_dict_adapter import StartingWeights

__all__ = [
    "MODELS",
    "StartingWeights",
    "VideoClassifier",
    "create_video_classifier",
    "kinetics_names",
    "rows_of_k722",
]
