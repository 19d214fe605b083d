"""Video classification on the EVA backbone; models import without Detectron2."""

from .classifier import VideoClassifier
from .kinetics import kinetics_names, rows_of_k722
from .models import MODELS, create_video_classifier
from .state_dict_adapter import VideoStateDictAdapter

__all__ = [
    "MODELS",
    "VideoClassifier",
    "VideoStateDictAdapter",
    "create_video_classifier",
    "kinetics_names",
    "rows_of_k722",
]
