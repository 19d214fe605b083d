"""The fluorescence image with 125 nuclei in the package `stardist`, an out-of-domain test of the demo.

The image comes from another microscope and shows other cells: 512 x 512 pixels with 8-bit values and nuclei of median
area 440 pixels, compared with 611 in the training data. The preprocessing is fixed: intensities are stretched as in the
training frames (the curve was chosen by looking at both kinds of images), and the image is enlarged to 576 x 576 pixels
(nuclei of median area 557) and cut into 36 tiles of the training size.

Source: J. Caicedo et al., Nature Methods 16 (2019), the 2018 Data Science Bowl.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from detectron2_ext.data.coco_json import CocoJsonSummary, register_coco_json
from eva_engine.data.package_data import package_data_file, read_tiff_pages

from .fluo_hela import MIN_AREA, TILE
from .label_tiles import LabelledImage, cut_tiles, stretch_intensity, write_coco_tiles

NUCLEI = "stardist_nuclei"
SIDE = 6 * TILE


def load_nucleus_image() -> LabelledImage:
    """Return the stretched image, enlarged to [576, 576] (bicubic), with its labels (nearest neighbour)."""
    image = read_tiff_pages(package_data_file("stardist", "data/images/img2d.tif"))[0]
    labels = read_tiff_pages(package_data_file("stardist", "data/images/mask2d.tif"))[0]
    pixels = Image.fromarray(stretch_intensity(image)).resize((SIDE, SIDE), Resampling.BICUBIC)
    enlarged = Image.fromarray(labels.astype(np.int32), mode="I").resize((SIDE, SIDE), Resampling.NEAREST)
    return LabelledImage("nuclei", np.array(pixels), np.array(enlarged))


def register_nucleus_image(root: Path) -> CocoJsonSummary:
    """Write the tiles of the image to the folder `root` and register them with Detectron2 as NUCLEI."""
    json_file, images = root / f"{NUCLEI}.json", root / NUCLEI
    write_coco_tiles(cut_tiles(load_nucleus_image(), TILE, TILE), json_file, images, min_area=MIN_AREA)
    return register_coco_json(NUCLEI, json_file, images)
