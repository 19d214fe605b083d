"""Known warnings of other packages are not shown; all others are."""

import logging
import warnings

import pytest

from eva_engine.foreign_warnings import silence_foreign_warnings


@pytest.fixture(autouse=True)
def _restored():
    logger = logging.getLogger("torch.fx._symbolic_trace")
    filters = list(logger.filters)
    with warnings.catch_warnings():
        yield
    logger.filters[:] = filters


def test_only_the_known_texts_are_silenced():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        silence_foreign_warnings()
        warnings.warn("`torch.jit.script` is deprecated. Please switch.", FutureWarning, stacklevel=1)
        warnings.warn("`torch.jit.script` is gone.", FutureWarning, stacklevel=1)
        warnings.warn("`torch.jit.script` is deprecated.", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == [
        "`torch.jit.script` is gone.",
        "`torch.jit.script` is deprecated.",
    ]


def test_only_the_known_message_is_silenced(caplog):
    silence_foreign_warnings()
    silence_foreign_warnings()
    logger = logging.getLogger("torch.fx._symbolic_trace")
    logger.warning("is_fx_tracing will return true for both fx.symbolic_trace and torch.export. Please use another.")
    logger.warning("something else")
    assert caplog.messages == ["something else"]
    assert len(logger.filters) == 1
