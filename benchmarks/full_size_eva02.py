"""Time and peak memory of EVA-02-L's detector on one photo on the CPU, at 1024 and at 1536 pixels.

Each size is a run of `full_size_inference`, which explains the figures, in a process of its own.

    python -m benchmarks.full_size_eva02 [--only 1024]
"""

import argparse
import subprocess
import sys

from .full_size_inference import ROOT

RECIPES = {
    1024: "eva2_coco_cascade_mask_rcnn_vitdet_l_4attn_1024_lrd0p8.py",
    1536: "eva2_coco_cascade_mask_rcnn_vitdet_l_8attn_win32_1536_lrd0p8.py",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, choices=RECIPES, help="image side in pixels; default: both")
    args = parser.parse_args()
    for side in [args.only] if args.only else RECIPES:
        recipe = ROOT / "projects/ViTDet/configs/eva2_mim_to_coco" / RECIPES[side]
        options = ["--config-file", str(recipe), "--label", f"{side} px, "]
        subprocess.run([sys.executable, "-m", "benchmarks.full_size_inference", *options], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
