"""Build what a config describes."""

import re
from typing import Any

from detectron2.config import instantiate as _instantiate
from omegaconf.errors import OmegaConfBaseException

from eva_backbone.errors import InputError

_WRONG_CALL = re.compile(r"unexpected keyword argument|missing \d+ required|multiple values for")


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
        # Classes pass keywords on to others, so the call that does not take one may be deep inside.
        if not _WRONG_CALL.search(str(error)):
            raise
        raise InputError(f"the config cannot be built ({error}); give a recipe with the right keywords") from error
