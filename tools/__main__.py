"""All commands: `python -m tools` lists them, `python -m tools VERB ...` runs one."""

import sys

from eva_engine.commands.start import main

if __name__ == "__main__":
    sys.exit(main(program="python -m tools"))
