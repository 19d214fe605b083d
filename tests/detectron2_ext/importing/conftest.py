"""The modules that these tests share."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
for path in (FOLDER, FOLDER.parent / "prediction"):
    if str(path) not in sys.path:
        sys.path.append(str(path))
