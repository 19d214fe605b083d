"""A recipe, turned to the user's own COCO-format data that the command line names."""

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from detectron2.utils.registry import locate
from omegaconf import DictConfig, ListConfig, OmegaConf

from detectron2_ext.data import CocoJsonSummary, register_coco_json
from detectron2_ext.evaluation import COCOEvaluator
from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CustomData:
    """Annotation files and image folders; None where that part was not given."""

    train_json: str | None = None
    train_images: str | None = None
    val_json: str | None = None
    val_images: str | None = None

    @classmethod
    def find(cls, args: argparse.Namespace, cfg: DictConfig) -> "CustomData | None":
        """The data of the command line, else that in the config.yaml of an earlier run on own data, else None.

        Raises:
            InputError: an annotation file without its folder or the reverse, or no data for what is to be done.
        """
        own = cls(args.train_json, args.train_images, args.val_json, args.val_images)
        if own == cls():
            own = cls(**cfg.dataloader.get("custom_data") or {})
        if own == cls():
            return None
        own._check_part("train", own.train_json, own.train_images)
        own._check_part("val", own.val_json, own.val_images)
        needed = "val" if args.eval_only else "train"
        if getattr(own, f"{needed}_json") is None:
            doing = "evaluate" if args.eval_only else "train"
            raise InputError(f"there is no own data to {doing} on; give --{needed}-json and --{needed}-images too")
        return own

    @staticmethod
    def _check_part(part: str, json_file: str | None, images: str | None) -> None:
        if (json_file is None) != (images is None):
            given, missing = ("json", "images") if images is None else ("images", "json")
            raise InputError(f"--{part}-{given} was given without --{part}-{missing}; give both")
        if images is not None and not Path(images).is_dir():
            raise InputError(f"--{part}-images {images} is not a folder; name the folder that holds the images")

    def absolute(self) -> dict[str, str]:
        """The parts that are given, as full paths."""
        return {name: str(Path(path).resolve()) for name, path in asdict(self).items() if path is not None}


def use_custom_data(cfg: DictConfig, own: CustomData, training: bool) -> None:
    """Register `own` and change `cfg` to it: data sets, evaluator, number of classes, mask head.

    Without validation data `cfg` is left without an evaluator; for data without masks the model is box-only.
    Class names and ids are kept in `cfg.dataloader.categories`, the paths in `cfg.dataloader.custom_data`. Bad
    validation images are treated as bad training images are, unless `dataloader.test.mapper.on_error` says otherwise.

    Raises:
        InputError: a config of no detector, data that cannot be used, or validation data whose categories are not
            those of the training data.
    """
    if not isinstance(cfg.model, DictConfig) or "roi_heads" not in cfg.model:
        raise InputError("own data in COCO format is for detectors with model.roi_heads; give the config of one")
    on_error = OmegaConf.select(cfg, "dataloader.train.mapper.on_error", default="stop")
    val_on_error = OmegaConf.select(cfg, "dataloader.test.mapper.on_error", default=on_error)
    train = val = None
    if own.train_json and own.train_images:
        train = register_coco_json("custom_train", own.train_json, own.train_images, on_error=on_error)
    if own.val_json and own.val_images:
        val = register_coco_json("custom_val", own.val_json, own.val_images, on_error=val_on_error)
    leading = train if training else val
    if leading is None:
        raise InputError(f"there is no own data to {'train' if training else 'evaluate'} on; give its json and images")
    categories = _categories(train or leading)
    source = (train or leading).json_file
    if not training and cfg.dataloader.get("categories"):  # of the run that is evaluated
        categories = {category.id: category.name for category in cfg.dataloader.categories}
        source = "the training data of the config"
    if val:
        _check_same_categories(categories, source, val)

    cfg.dataloader.custom_data = own.absolute()
    cfg.dataloader.categories = [{"id": i, "name": name} for i, name in categories.items()]
    _set_num_classes(cfg, len(cfg.dataloader.categories))

    has_mask_head = cfg.model.roi_heads.get("mask_head") is not None
    # In evaluation a mask head may still be needed to re-score boxes.
    rescores = not training and cfg.model.roi_heads.get("maskness_thresh") is not None
    if has_mask_head and not leading.has_masks and not rescores:
        logger.info("%s has no masks: the model is built without a mask head", leading.json_file)
        cfg.model.roi_heads.update(mask_in_features=None, mask_pooler=None, mask_head=None)
        has_mask_head = False
    if training:
        _use_training_data(cfg, leading, with_masks=has_mask_head)
    _use_test_data(cfg, val, val_on_error)


def save_categories(cfg: DictConfig) -> None:
    """Write the class names and ids of own data to `train.output_dir`/categories.json."""
    content = {"categories": OmegaConf.to_container(cfg.dataloader.categories)}
    with atomic_path(Path(cfg.train.output_dir, "categories.json")) as file:
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _categories(summary: CocoJsonSummary) -> dict[int, str]:
    return dict(zip(summary.category_ids, summary.class_names, strict=True))


def _check_same_categories(one: dict[int, str], source: str, val: CocoJsonSummary) -> None:
    other = _categories(val)
    for category_id in sorted(one.keys() | other.keys()):
        if one.get(category_id) != other.get(category_id):
            raise InputError(
                f"category {category_id} is {one.get(category_id)!r} in {source} but "
                f"{other.get(category_id)!r} in {val.json_file}; give both files the same list of categories"
            )


def _set_num_classes(cfg: DictConfig, num_classes: int) -> None:
    for node in _groups(cfg.model):
        if "num_classes" in node and not OmegaConf.is_interpolation(node, "num_classes"):
            node.num_classes = num_classes
        if node.get("use_fed_loss"):
            # Its class frequencies are LVIS's, and own data is taken to be annotated in full.
            node.use_fed_loss = False
            node.get_fed_loss_cls_weights = None


def _groups(node: DictConfig | ListConfig) -> Iterator[DictConfig]:
    """`node` and every group below it, interpolations not followed."""
    if isinstance(node, DictConfig):
        yield node
        children = [node[key] for key in map(str, node) if not OmegaConf.is_interpolation(node, key)]
    else:
        children = list(node)
    for child in children:
        if OmegaConf.is_config(child):
            yield from _groups(child)


def _use_training_data(cfg: DictConfig, train: CocoJsonSummary, with_masks: bool) -> None:
    loader = cfg.dataloader.train
    loader.dataset.names = train.name
    loader.mapper.use_instance_mask = with_masks
    if not with_masks:
        loader.mapper.recompute_boxes = False
    elif train.mask_format == "bitmask":  # which takes polygons too
        loader.mapper.instance_mask_format = "bitmask"


def _use_test_data(cfg: DictConfig, val: CocoJsonSummary | None, on_error: str) -> None:
    if val is None:
        logger.info("No validation data was given: nothing is evaluated")
        cfg.dataloader.evaluator = None
        return
    cfg.dataloader.test.dataset.names = val.name
    if on_error != "stop":  # the default, and Detectron2's own mapper knows no other
        cfg.dataloader.test.mapper.on_error = on_error
    kind = OmegaConf.select(cfg, "dataloader.evaluator._target_", default=None)
    if (locate(kind) if isinstance(kind, str) else kind) is not COCOEvaluator:
        cfg.dataloader.evaluator = {"_target_": COCOEvaluator}
    cfg.dataloader.evaluator.update(dataset_name=val.name, output_dir="${train.output_dir}/inference")
