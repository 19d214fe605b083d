"""Adapt a recipe to the user's custom data, given on the command line."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import DictConfig, ListConfig, OmegaConf

from detectron2_ext.data import CocoJsonSummary, register_coco_json
from detectron2_ext.evaluation import COCOEvaluator
from detectron2_ext.importing.conversion import DataRequest
from detectron2_ext.importing.run_data import convert_for_run, find_request
from eva_backbone.errors import InputError
from eva_engine.config.class_list import store_categories, stored_categories
from eva_engine.config.literal_strings import from_literal, to_literal

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CustomData:
    """Annotation files and image folders of custom data.

    Attributes:
        train_json: Annotations to train on; None if not given, as for the others.
        train_images: Folder that their file names are relative to.
        val_json: Annotations to evaluate on.
        val_images: Folder that their file names are relative to.
        leave_out: Names of categories without annotations that are not classes; None if not given.
        request: Data of any format, from which the four above are made when the run begins; None if not given.
    """

    train_json: str | None = None
    train_images: str | None = None
    val_json: str | None = None
    val_images: str | None = None
    leave_out: tuple[str, ...] | None = None
    request: DataRequest | None = None

    @classmethod
    def find(cls, args: argparse.Namespace, cfg: DictConfig) -> "CustomData | None":
        """Return the data of the command line, else that in the config of an earlier run, else None.

        Raises:
            InputError: An annotation file was given without its image folder or the reverse, or there is no data for
                the requested training or evaluation.
        """
        stored = cls._stored(cfg)
        request = find_request(args)
        if request is None:
            data = cls(args.train_json, args.train_images, args.val_json, args.val_images)
        else:
            data = cls(request=request)
        if data == cls():
            data = stored
        if args.leave_out_category or data.leave_out is None:
            data = replace(data, leave_out=tuple(args.leave_out_category or ()) or stored.leave_out)
        if data == cls() or data.request is not None:
            return data if data.request is not None else None
        data._check_part("train", data.train_json, data.train_images)
        data._check_part("val", data.val_json, data.val_images)
        if args.eval_only and data.val_json is None:
            raise InputError("there is no custom data to evaluate on; give --val-json and --val-images, or --val-data")
        if not args.eval_only and data.train_json is None:
            raise InputError(
                "there is no custom data to train on; give --train-json and --train-images, or --train-data"
            )
        return data

    @classmethod
    def _stored(cls, cfg: DictConfig) -> "CustomData":
        """Return the data in the config of an earlier run, or empty data."""
        node = cfg.dataloader.get("custom_data")
        content: Any = node or {}
        if OmegaConf.is_config(node):
            content = OmegaConf.to_container(node)
        if isinstance(content, dict) and content.keys() <= asdict(cls()).keys() - {"request"}:
            leave_out = content.pop("leave_out", None) or []
            if all(isinstance(value, str) for value in [*content.values(), *leave_out]):
                paths: dict[str, Any] = {key: from_literal(value) for key, value in content.items()}
                return cls(**paths, leave_out=tuple(map(from_literal, leave_out)) or None)
        raise InputError("dataloader.custom_data of the config is not valid; use the config.yaml that training wrote.")

    @staticmethod
    def _check_part(part: str, json_file: str | None, images: str | None) -> None:
        if json_file is not None and images is None:
            raise InputError(f"--{part}-json was given without --{part}-images; give both")
        if json_file is None and images is not None:
            raise InputError(f"--{part}-images was given without --{part}-json; give both")
        if images is not None and not Path(images).is_dir():
            raise InputError(f"--{part}-images {images} is not a folder; give the folder that holds the images")

    def apply(self, cfg: DictConfig, training: bool) -> None:
        """Change `cfg` to train, or only to evaluate, on this data; see `use_custom_data`."""
        data = self
        if self.request is not None:
            data = replace(convert_for_run(self.request, cfg, training), leave_out=self.leave_out)
        use_custom_data(cfg, data, training)

    def to_config(self) -> dict[str, str | list[str]]:
        """Return what the config of a run stores: the given parts, with absolute paths."""
        content: dict[str, str | list[str]] = {}
        for name, value in asdict(self).items():
            if isinstance(value, str):
                content[name] = to_literal(str(Path(value).resolve()))
            elif value is not None:
                content[name] = [to_literal(category) for category in value]
        return content


def use_custom_data(cfg: DictConfig, data: CustomData, training: bool) -> None:
    """Register `data` and adapt `cfg` to it: datasets, evaluator, number of classes and mask head.

    Without validation data `cfg` is left without an evaluator; for data without masks the model predicts boxes only.
    Class names and ids are stored in `cfg.dataloader.categories`, the paths in `cfg.dataloader.custom_data`. Bad
    validation images are handled as bad training images are, unless `dataloader.test.mapper.on_error` is set.

    Args:
        cfg: Recipe of a detector; modified in place.
        data: Custom data in COCO format.
        training: Whether the run trains; otherwise it only evaluates.

    Raises:
        InputError: The config is not that of a detector, the data cannot be used or has nothing to train on, or the
            categories of the validation data differ from those of the training data.
    """
    if not isinstance(cfg.model, DictConfig) or "roi_heads" not in cfg.model:
        raise InputError("custom data in COCO format needs a detector with model.roi_heads; give the config of one")
    on_error = OmegaConf.select(cfg, "dataloader.train.mapper.on_error", default="stop")
    val_on_error = OmegaConf.select(cfg, "dataloader.test.mapper.on_error", default=on_error)
    train = val = None
    leave_out = data.leave_out or ()
    if data.train_json and data.train_images:
        train = register_coco_json(
            "custom_train", data.train_json, data.train_images, on_error=on_error, leave_out=leave_out
        )
    if data.val_json and data.val_images:
        val = register_coco_json(
            "custom_val", data.val_json, data.val_images, on_error=val_on_error, leave_out=leave_out
        )
    used = train if training else val
    if used is None:
        purpose = "train" if training else "evaluate"
        raise InputError(f"there is no custom data to {purpose} on; give its annotation file and image folder")
    if training:
        _check_trainable(used, leave_out)
    categories = _categories(train or used)
    source = (train or used).json_file
    trained = None if training else stored_categories(cfg, "")[0]
    if trained is not None:
        # The model under evaluation was trained with these categories.
        categories = dict(zip(trained.ids, trained.names, strict=True))
        source = "the training data of the config"
    if val:
        _check_same_categories(categories, source, val)

    cfg.dataloader.custom_data = data.to_config()
    store_categories(cfg, categories)
    _set_num_classes(cfg, len(categories))

    has_mask_head = cfg.model.roi_heads.get("mask_head") is not None
    # In evaluation a model may need its mask head for rescoring boxes, even if the data has no masks.
    rescores = not training and cfg.model.roi_heads.get("maskness_thresh") is not None
    if has_mask_head and not used.has_masks and not rescores:
        logger.info("%s has no masks: the model is built without a mask head", used.json_file)
        cfg.model.roi_heads.update(mask_in_features=None, mask_pooler=None, mask_head=None)
        has_mask_head = False
    if training:
        _use_training_data(cfg, used, with_masks=has_mask_head)
    _use_validation_data(cfg, val, val_on_error)


def _check_trainable(train: CocoJsonSummary, leave_out: Sequence[str]) -> None:
    for name in leave_out:
        if name not in train.left_out:
            raise InputError(
                f"{train.json_file} has no category {name!r} to leave out; it has {', '.join(train.class_names[:20])}."
            )
    if train.num_annotations == train.num_crowd:
        kind = "only crowd regions (iscrowd 1), which are not trained on" if train.num_crowd else "no annotations"
        raise InputError(f"{train.json_file} has {kind}; give a file with annotated objects.")


def _categories(summary: CocoJsonSummary) -> dict[int, str]:
    return dict(zip(summary.category_ids, summary.class_names, strict=True))


def _check_same_categories(expected: dict[int, str], source: str, val: CocoJsonSummary) -> None:
    found = _categories(val)
    for category_id in sorted(expected.keys() | found.keys()):
        if expected.get(category_id) != found.get(category_id):
            raise InputError(
                f"category {category_id} is {expected.get(category_id)!r} in {source} but "
                f"{found.get(category_id)!r} in {val.json_file}; give both files the same list of categories"
            )


def _set_num_classes(cfg: DictConfig, num_classes: int) -> None:
    for node in _dict_nodes(cfg.model):
        if "num_classes" in node and not OmegaConf.is_interpolation(node, "num_classes"):
            node.num_classes = num_classes
        if node.get("use_fed_loss"):
            # The class frequencies of the recipe are those of LVIS, and custom data is assumed to be annotated
            # exhaustively, so the federated loss does not apply.
            node.use_fed_loss = False
            node.get_fed_loss_cls_weights = None


def _dict_nodes(node: DictConfig | ListConfig) -> Iterator[DictConfig]:
    """Yield `node` and every dict below it without following interpolations."""
    if isinstance(node, DictConfig):
        yield node
        children = [node[key] for key in map(str, node) if not OmegaConf.is_interpolation(node, key)]
    else:
        children = list(node)
    for child in children:
        if OmegaConf.is_config(child):
            yield from _dict_nodes(child)


def _use_training_data(cfg: DictConfig, train: CocoJsonSummary, with_masks: bool) -> None:
    loader = cfg.dataloader.train
    loader.dataset.names = train.name
    loader.mapper.use_instance_mask = with_masks
    if not with_masks:
        loader.mapper.recompute_boxes = False
    elif train.mask_format == "bitmask":
        # RLE cannot be converted to polygons without loss, but polygons can be rasterised.
        loader.mapper.instance_mask_format = "bitmask"


def _use_validation_data(cfg: DictConfig, val: CocoJsonSummary | None, on_error: str) -> None:
    if val is None:
        logger.info("No validation data was given: nothing is evaluated")
        cfg.dataloader.evaluator = None
        return
    cfg.dataloader.test.dataset.names = val.name
    if on_error != "stop":  # the default, so that Detectron2's own mapper, which lacks the option, still works
        cfg.dataloader.test.mapper.on_error = on_error
    target = OmegaConf.select(cfg, "dataloader.evaluator._target_", default=None)
    if isinstance(target, str):
        target = locate(target)
    if target is not COCOEvaluator:
        cfg.dataloader.evaluator = {"_target_": COCOEvaluator}
    cfg.dataloader.evaluator.update(dataset_name=val.name, output_dir="${train.output_dir}/inference")
