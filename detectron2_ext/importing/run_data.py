"""Data of any format for a run: the options `--train-data` and `--val-data` of `train` and `evaluate`."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config.class_list import stored_categories
from eva_engine.processes import on_all_ranks
from eva_engine.tasks import check_data_options

from .class_questions import parse_renamed
from .conversion import ConvertedPart, DataRequest, convert_once
from .imported_data import ImportOptions

if TYPE_CHECKING:
    from ..custom_data import CustomData

_SKIP_ADVICE = "set dataloader.train.mapper.on_error=skip"


def find_request(args: argparse.Namespace) -> DataRequest | None:
    """Return the datasets that the options name; None if there is neither `--train-data` nor `--val-data`.

    Raises:
        InputError: Options exclude each other, or there is nothing to train or to evaluate on.
    """
    train, val = args.train_data, args.val_data
    if not check_data_options(args):
        for flag in ("--rename-class", "--pixels-from", "--data-format"):
            if getattr(args, flag.lstrip("-").replace("-", "_")) is not None:
                raise InputError(f"{flag} is for --train-data and --val-data; add one of them, or omit it.")
        return None
    if args.train_json or args.val_json:
        raise InputError(
            "--train-json and --val-json cannot be combined with --train-data and --val-data, which take COCO files, "
            "too; give all data in one of these ways."
        )
    options = ImportOptions(
        images=None if args.train_images is None else Path(args.train_images).resolve(),
        format=args.data_format,
        renamed=parse_renamed(args.rename_class),
        pixels_from=args.pixels_from,
    )
    return DataRequest(
        train=None if args.eval_only else str(Path(train).resolve()),
        val=_absolute(val),
        val_share=args.val_share,
        options=options,
        val_images=_absolute(args.val_images),
    )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def convert_for_run(request: DataRequest, cfg: DictConfig, training: bool) -> "CustomData":
    """Convert the datasets into the folder of the run, on rank 0, and return the result as COCO files.

    Args:
        request: The datasets.
        cfg: The recipe. Bad files are skipped if its `on_error` says so.
        training: Whether the run trains; otherwise the classes are those of the config.
    """
    from ..custom_data import CustomData

    loader = "train" if training else "test"
    train_on_error = OmegaConf.select(cfg, "dataloader.train.mapper.on_error", default="stop")
    on_error = OmegaConf.select(cfg, f"dataloader.{loader}.mapper.on_error", default=train_on_error)
    stored = None if training else stored_categories(cfg, "")[0]
    categories = None if stored is None else dict(zip(stored.ids, stored.names, strict=True))
    folder = Path(cfg.train.output_dir).resolve() / "data"
    chosen = replace(request, skip_bad=on_error == "skip")

    def convert() -> dict[str, ConvertedPart]:
        return convert_once(chosen, folder, _SKIP_ADVICE, categories)

    parts = on_all_ranks(convert)
    train, val = parts.get("train"), parts.get("val")
    return CustomData(
        None if train is None else train.json_file,
        None if train is None else train.images,
        None if val is None else val.json_file,
        None if val is None else val.images,
    )
