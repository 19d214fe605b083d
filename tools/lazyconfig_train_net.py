#!/usr/bin/env python3
"""The verbs train and evaluate (--eval-only) under the name that Detectron2 and the original release gave them."""

import sys

from eva_engine.commands.start import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]], program="python -m tools"))
