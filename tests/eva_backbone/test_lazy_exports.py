"""Names of packages that are imported when they are used, and former names."""

import sys
import textwrap
import warnings

import pytest

import eva_backbone
from eva_backbone.deprecation import Deprecated
from eva_backbone.lazy_exports import lazy_exports


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `pots` with a function and its former name."""
    (tmp_path / "pots").mkdir()
    (tmp_path / "pots/clay.py").write_text("def new():\n    return 1\n\n\ndef old():\n    return 1\n")
    (tmp_path / "pots/__init__.py").write_text(
        textwrap.dedent("""\
            from eva_backbone.deprecation import Deprecated
            from eva_backbone.lazy_exports import lazy_exports

            __getattr__ = lazy_exports(__name__, {"new": "clay"}, {"old": Deprecated("clay", "new", "0.4")})
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "pots"]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
def test_former_name_works_and_warns_once_for_a_line_that_imports_it(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("for _ in range(3):\n    from pots import old\nfrom pots import new\nassert old() == new()\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        exec(compile(program.read_text(), str(program), "exec"), {"__name__": "program"})
    assert [(str(warning.message), warning.category, warning.lineno) for warning in caught] == [
        ("pots.old is deprecated and will be removed in version 0.4; use new", FutureWarning, 2)
    ]
    assert caught[0].filename == str(program)


def test_unknown_name_of_a_package():
    with pytest.raises(AttributeError, match="module 'eva_backbone' has no attribute 'no_such_name'"):
        _ = eva_backbone.no_such_name
    with pytest.raises(AttributeError, match="no attribute 'gone'"):
        lazy_exports("eva_backbone", {}, {"old": Deprecated("presets", "new", "0.4")})("gone")
