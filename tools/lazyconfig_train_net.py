#!/usr/bin/env python3
"""Train or evaluate a detector: tools/lazyconfig_train_net.py --help shows how."""

import sys

from detectron2_ext.engine.command_line import main

if __name__ == "__main__":
    sys.exit(main())
