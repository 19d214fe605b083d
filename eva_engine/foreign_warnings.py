"""Silence warnings of other packages, by their exact text, that nobody who runs a model can act on."""

import logging
import re
import warnings

_WARNINGS = (
    # fvcore, which Detectron2 imports, has a scripted loss.
    ("`torch.jit.script` is deprecated", FutureWarning),
    # Detectron2's anchor generator calls it in the way that stays the default.
    ("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument", UserWarning),
)
# Detectron2's poolers ask whether they are traced, and mean what this message explains.
_FX_LOGGER = "torch.fx._symbolic_trace"
_FX_MESSAGE = "is_fx_tracing will return true for both fx.symbolic_trace and torch.export. "


def silence_foreign_warnings() -> None:
    """Ignore the known warnings in this process; all others are still shown."""
    for text, category in _WARNINGS:
        warnings.filterwarnings("ignore", re.escape(text), category)
    logging.getLogger(_FX_LOGGER).addFilter(_is_about_something_else)


def _is_about_something_else(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_FX_MESSAGE)
