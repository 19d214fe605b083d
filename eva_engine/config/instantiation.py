"""Build what a config describes."""

from typing import Any

from detectron2.config import instantiate as _instantiate
from omegaconf.errors import OmegaConfBaseException

from eva_backbone.errors import InputError


def instantiate(cfg: Any) -> Any:
    """Call Detectron2's `instantiate`, with one sentence for configs that do not describe a call.

    Raises:
        InputError: A call lacks an argument or has an unknown one, or a value refers to nothing.
    """
    try:
        return _instantiate(cfg)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the config has a value that cannot be read ({reason}); give one that is complete") from error
    except TypeError as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        # Deeper inside, it is an error of the called function.
        if frame is None or not frame.tb_frame.f_globals.get("__name__", "").startswith("detectron2.config"):
            raise
        raise InputError(f"the config cannot be built ({error}); give a recipe with the right keywords") from error
