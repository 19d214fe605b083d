#!/usr/bin/env python3
"""Convert the labels of COCO-Stuff-164K to training ids: 171 classes, 0 to 170, and 255 for unlabelled pixels.

The script reads the published label maps (stuffthingmaps_trainval2017.zip, unpacked) and writes one PNG for each, named
<image>_labelTrainIds.png. Complete files are not written again, so an interrupted run can be continued.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from script_io import PrepareError, atomic_path, dataset_root, run
from tqdm import tqdm

SPLITS = {"train2017": 118287, "val2017": 5000}
# The published maps contain COCO category ids minus 1. These values belong to no class; training ids have no gaps.
NUM_VALUES, UNUSED_VALUES = 182, (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
IGNORED = 255
UNKNOWN = 254  # marks invalid values; not a training id, since there are only 171


def train_id_table() -> np.ndarray:
    """Return the training id of each published value 0..255; `UNKNOWN` for values that belong to no class."""
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    values = [value for value in range(NUM_VALUES) if value not in UNUSED_VALUES]
    table[values] = np.arange(len(values))
    table[IGNORED] = IGNORED
    return table


def convert(source: Path, output: Path) -> None:
    """Convert one label map.

    Raises:
        PrepareError: The file is not an image with a single 8-bit channel, or it has values that COCO-Stuff does not
            define.
    """
    try:
        with Image.open(source, formats=["PNG"]) as image:
            labels = np.array(image) if image.mode in ("L", "P") else None
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise PrepareError(f"{source} is not readable ({error}); unpack the archive again.") from error
    if labels is None:
        raise PrepareError(f"{source} does not have a single 8-bit channel; give the published stuffthingmaps.")
    train_ids = train_id_table()[labels]
    unknown = labels[train_ids == UNKNOWN]
    if unknown.size:
        raise PrepareError(
            f"{source} has the value {unknown[0]}, which belongs to no class; give the published stuffthingmaps."
        )
    with atomic_path(output, sync=False) as temporary:
        Image.fromarray(train_ids).save(temporary, format="PNG")


def find_work(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """Return the pairs (label map, result) of all results that do not exist yet."""
    maps = sorted(source.glob("*.png"))
    if not maps:
        raise PrepareError(
            f"{source} contains no .png file; unpack stuffthingmaps_trainval2017.zip and give its folder."
        )
    pairs = [(path, output / f"{path.stem}_labelTrainIds.png") for path in maps]
    return [(path, result) for path, result in pairs if not result.is_file()]


def main() -> None:
    """Run the script."""
    root = dataset_root()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source",
        type=Path,
        default=root / "coco/stuffthingmaps",
        help="folder of the published label maps, with train2017/ and val2017/ (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=root / "coco_stuff164k/annotations",
        help="folder to write (default: %(default)s)",
    )
    parser.add_argument(
        "--split", choices=list(SPLITS), nargs="+", default=list(SPLITS), help="splits to convert (default: both)"
    )
    parser.add_argument("--workers", type=int, default=4, help="number of processes (default: %(default)s)")
    args = parser.parse_args()
    for split in args.split:
        work = find_work(args.source / split, args.output / split)
        (args.output / split).mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(args.workers) as pool:
            done = pool.map(_convert_pair, work, chunksize=32)
            for _ in tqdm(done, total=len(work), desc=split, unit="map"):
                pass
        found = len(list((args.output / split).glob("*_labelTrainIds.png")))
        print(f"{split}: {found} label maps in {args.output / split}")
        if found != SPLITS[split]:
            print(f"warning: the published {split} has {SPLITS[split]} images", file=sys.stderr)


def _convert_pair(pair: tuple[Path, Path]) -> None:
    convert(*pair)


if __name__ == "__main__":
    run(main)
