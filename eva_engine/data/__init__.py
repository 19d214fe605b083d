"""Loading data for all tasks: training and evaluation loaders, images, and corrupt records."""

from typing import TYPE_CHECKING

from eva_backbone.deprecation import Deprecated
from eva_backbone.lazy_exports import lazy_exports

# Not lazy: the name of the function would otherwise be hidden by its module.
from .dataset_folder import dataset_root

if TYPE_CHECKING:
    from .eval_loader import EvalLoader
    from .image_file import read_rgb_image
    from .train_loader import TrainLoader, build_train_loader
    from .workers import worker_failure


__all__ = ["EvalLoader", "TrainLoader", "build_train_loader", "dataset_root", "read_rgb_image", "worker_failure"]


DEPRECATED = {
    "read_dataset_image": Deprecated(
        "image_file",
        "read_rgb_image, or eva_engine.data.image_file.read_image and Detectron2's convert_PIL_to_numpy for another "
        "order of channels",
        removed_in="0.4",
    )
}

__getattr__ = lazy_exports(
    __name__,
    {
        "EvalLoader": "eval_loader",
        "TrainLoader": "train_loader",
        "build_train_loader": "train_loader",
        "read_rgb_image": "image_file",
        "worker_failure": "workers",
    },
    DEPRECATED,
)
