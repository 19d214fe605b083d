"""Export a tiny classifier as ONNX, with the module that runs it and photos: .ci/smallest_export.py FOLDER."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from tiny_exports import export, tiny_classifier, write_photos  # noqa: E402

folder = Path(sys.argv[1])
export(tiny_classifier(folder / "weights"), folder, "onnx", write_photos(folder / "photos"), with_example=True)
