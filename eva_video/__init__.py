"""Video classification on the EVA backbone; models import without Detectron2."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
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

__getattr__ = lazy_exports(
    __name__,
    {
        "VideoClassifier": "classifier",
        "kinetics_names": "kinetics",
        "rows_of_k722": "kinetics",
        "MODELS": "models",
        "create_video_classifier": "models",
        "VideoStateDictAdapter": "state_dict_adapter",
    },
)
