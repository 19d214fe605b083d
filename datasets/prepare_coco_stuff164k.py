#!/usr/bin/env python3
"""Number the labels of COCO-Stuff-164K for training: 171 classes, 0 to 170, and 255 where there is no label.

Reads the published label maps (stuffthingmaps_trainval2017.zip, unpacked) and writes one PNG each, named
<image>_labelTrainIds.png. Files that are complete already stay, so an interrupted run goes on where it stopped.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from script_io import PrepareError, dataset_root, run, whole_file
from tqdm import tqdm

SPLITS = {"train2017": 118287, "val2017": 5000}
# A published map has COCO's category id minus 1, of which these are no class; training numbers leave no gap.
NUM_VALUES, UNUSED_VALUES = 182, (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
IGNORED = 255
UNKNOWN = 254  # no training number: there are 171


def train_id_table() -> np.ndarray:
    """Training number of each published value 0..255; `UNKNOWN` for values that no class has."""
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    values = [value for value in range(NUM_VALUES) if value not in UNUSED_VALUES]
    table[values] = np.arange(len(values))
    table[IGNORED] = IGNORED
    return table


def convert(source: Path, output: Path) -> None:
    """One label map.

    Raises:
        PrepareError: no picture of one channel with 8 bits, or values that COCO-Stuff does not have.
    """
    try:
        with Image.open(source, formats=["PNG"]) as image:
            labels = np.array(image) if image.mode in ("L", "P") else None
    except Exception as error:  # Pillow raises nearly anything at damaged files
        raise PrepareError(f"{source} is not readable ({error}); unpack the archive again.") from error
    if labels is None:
        raise PrepareError(f"{source} has no single channel of 8 bits; give the published stuffthingmaps.")
    numbered = train_id_table()[labels]
    unknown = labels[numbered == UNKNOWN]
    if unknown.size:
        raise PrepareError(
            f"{source} has the value {unknown[0]}, which no class has; give the published stuffthingmaps."
        )
    with whole_file(output, sync=False) as temporary:
        Image.fromarray(numbered).save(temporary, format="PNG")


def find_work(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """(label map, result) of every result that is not there yet."""
    maps = sorted(source.glob("*.png"))
    if not maps:
        raise PrepareError(f"{source} holds no .png; unpack stuffthingmaps_trainval2017.zip and give its folder.")
    results = [(path, output / f"{path.stem}_labelTrainIds.png") for path in maps]
    return [(path, result) for path, result in results if not result.is_file()]


def main() -> None:
    root = dataset_root()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source",
        type=Path,
        default=root / "coco/stuffthingmaps",
        help="folder with train2017/ and val2017/ of label maps (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, default=root / "coco_stuff164k/annotations", help="default: %(default)s")
    parser.add_argument("--split", choices=list(SPLITS), nargs="+", default=list(SPLITS), help="default: both")
    parser.add_argument("--workers", type=int, default=4, help="processes (default: %(default)s)")
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
