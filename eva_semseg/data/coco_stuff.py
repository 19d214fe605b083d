"""COCO-Stuff-164K: its 171 classes, and its registration below the data root (DETECTRON2_DATASETS).

ADE20K, the other dataset of the recipes, is registered by Detectron2.
"""

import os

from detectron2.data import DatasetCatalog

from .label_folders import register_label_folders

# Classes in training order: 80 things, then 91 kinds of stuff.
THING_CLASSES = tuple(
    """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush
""".replace("\n", " ")
    .strip()
    .split(", ")
)
STUFF_CLASSES = tuple(
    """
banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other,
ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence,
floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other,
grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin,
net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock,
roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other,
wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
""".replace("\n", " ")
    .strip()
    .split(", ")
)
COCO_STUFF_CLASSES = THING_CLASSES + STUFF_CLASSES

SPLITS = {"coco_stuff164k_train": "train2017", "coco_stuff164k_val": "val2017"}
# End of the names of label files that hold training class indices, before the suffix.
LABEL_ENDING = "_labelTrainIds"


def register_builtin_datasets(root: str) -> None:
    """Register ``coco_stuff164k_train`` and ``coco_stuff164k_val``; a name that is already registered is skipped."""
    for name, split in SPLITS.items():
        if name not in DatasetCatalog:
            register_label_folders(
                name,
                os.path.join(root, "coco", split),
                os.path.join(root, "coco_stuff164k", "annotations", split),
                COCO_STUFF_CLASSES,
                label_ending=LABEL_ENDING,
            )
