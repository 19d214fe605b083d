#!/usr/bin/env python3
"""The verb interpolate-patch under the name that the original release gave it."""

import sys

from eva_engine.commands.start import main

if __name__ == "__main__":
    sys.exit(main(["interpolate-patch", *sys.argv[1:]], program="python -m tools"))
