"""Start of every command: Ctrl-C ends it without a traceback also while the table of the verbs is imported."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None, program: str = "eva-vision") -> int:
    """Run a verb and return its exit status; see `eva_engine.commands.verbs.main`."""
    try:
        from .verbs import main as run_verb
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return run_verb(argv, program)
