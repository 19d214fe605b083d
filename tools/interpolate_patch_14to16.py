#!/usr/bin/env python3
"""The verb interpolate-patch under the name that the original release gave it."""

import sys

from detectron2_ext.commands.interpolate_patch_14to16 import main

if __name__ == "__main__":
    sys.exit(main())
