#!/usr/bin/env python3
"""The verb plan."""

import sys

from detectron2_ext.commands.verbs import main

if __name__ == "__main__":
    sys.exit(main(["plan", *sys.argv[1:]], program="python -m tools"))
