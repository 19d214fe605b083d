"""Find the file that an option for weights means: a file, the name of published weights, or the folder of a run."""

import logging
import os
from functools import partial
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.checkpoint.file_kind import INDEX_NAME, detect_kind
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.exported_models import check_readable, is_exported

from .hub import cached_file, download
from .model_check import check_model
from .table import PublishedFile, all_published, find_published

logger = logging.getLogger(__name__)


def weight_path(weights: str | os.PathLike) -> Path:
    """Return the path of a weight file, which is downloaded if it is published and neither here nor in the cache.

    Args:
        weights: One of

            * the path of a weight file, of an exported model, or of the folder of a sharded checkpoint; it is returned
              as it is, even if it does not exist;
            * the output folder of a run, which stands for its best checkpoint, or else its last one;
            * the name of a published file, such as "eva_coco_seg", if no file has this name.

    Raises:
        InputError: An empty name, or one that is neither a file nor published; or a download that failed.
    """
    found = _find(weights)
    if isinstance(found, PublishedFile):
        return local_copy(found)
    if found != Path(weights):
        logger.info("Using the checkpoint %s", found)
    return found


def check_weights(weights: str | os.PathLike) -> None:
    """Check that `weights` are a weight file, or published: in milliseconds, without PyTorch and without a download.

    Args:
        weights: What the user gave, see :func:`weight_path`.

    Raises:
        InputError: A file that does not exist, or is neither a weight file nor an exported model; or a name that is
            not published.
    """
    found = _find(weights)
    if isinstance(found, PublishedFile):
        return
    if is_exported(found):
        check_readable(found)
    else:
        detect_kind(found)


def _find(weights: str | os.PathLike) -> Path | PublishedFile:
    if not os.fspath(weights):  # as a path, it would be the working folder
        raise InputError("the name of the weights is empty; give a file, the folder of a run or a published name")
    path = Path(weights)
    if os.path.isdir(path):  # unlike the method of Path, this allows for names that are too long
        return path if (path / INDEX_NAME).is_file() else _checkpoint_of_run(path)
    return published_name(weights) or path


def _checkpoint_of_run(folder: Path) -> Path:
    """Return the checkpoint that the output folder of a run stands for; the folder itself if it is not one of a run."""
    run = RunFolder(folder)
    checkpoint = run.best_or_last()
    if checkpoint is not None:
        return checkpoint
    if not run.has_last():
        return folder
    last = run.last()
    fault = "does not name one" if last is None else f"names {last.name}, which is not in it"
    raise InputError(
        f"no checkpoint can be found in {folder}: its last_checkpoint {fault}; name a weight file, or the folder of "
        "another run."
    )


def published_name(weights: str | os.PathLike) -> PublishedFile | None:
    """Return the published file that `weights` is the name of; None if it is a path.

    Raises:
        InputError: It is neither a file nor a published name, and has no suffix or folder as paths have; or it is that
            of a published file, and does not exist.
    """
    path = Path(weights)
    if os.path.lexists(path) or os.path.dirname(weights):  # "./NAME" and "NAME/" are paths
        return None
    if not path.suffix:
        return find_published(path.name)
    if path.stem in all_published():
        raise InputError(f"{path} does not exist; give its path, or the name {path.stem} to download it")
    return None


def local_copy(published: PublishedFile) -> Path:
    """Return the path of a published file in the cache, to which it is downloaded if necessary.

    Raises:
        InputError: The file cannot be downloaded, or is not the published one.
    """
    path = cached_file(published) or download(published, partial(check_model, published))
    logger.info("Using %s", path)
    return path
