#!/usr/bin/env python3
"""The verb plan."""

import sys

from detectron2_ext.commands.plan_memory import main

if __name__ == "__main__":
    sys.exit(main())
