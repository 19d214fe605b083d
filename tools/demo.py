#!/usr/bin/env python3
"""The verb predict under the name that Detectron2 gave it."""

import sys

from eva_engine.commands.start import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]], program="python -m tools"))
