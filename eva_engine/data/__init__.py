"""Loading data for any task: the training loader, the evaluation loader, images and corrupt records."""

from .dataset_root import dataset_root
from .eval_loader import EvalLoader
from .image_file import read_image
from .train_loader import TrainLoader, build_train_loader, worker_failure

__all__ = ["EvalLoader", "TrainLoader", "build_train_loader", "dataset_root", "read_image", "worker_failure"]
