"""Check what the user gave before PyTorch and Detectron2 are imported, which takes seconds.

The work itself finds the same mistakes, with the same messages, but only after these imports.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from eva_backbone.errors import InputError
from eva_engine.config.config_path import find_config_file
from eva_engine.output_files import unwritable_reason
from eva_engine.prediction.inputs import InputList, list_inputs
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import printable


def check_config(path: str, overrides: Sequence[str] = ()) -> None:
    """Check that a config file exists, and that overrides have the form `key=value`.

    Raises:
        InputError: They do not.
    """
    find_config_file(path)
    for text in overrides:
        from eva_engine.config.override_grammar import parse_override  # Hydra is not a base dependency

        parse_override(text)


def check_run(args: Namespace) -> None:
    """Check the arguments of `train` and `evaluate`: options that exclude each other, config, weights, output folder.

    Raises:
        InputError: One of them cannot be used.
    """
    if args.dtype is not None and not args.eval_only:
        raise InputError("--dtype is for evaluate; set train.amp.enabled=True and train.amp.dtype to train")
    for flag, is_given in (("--dry-run", args.dry_run), ("--lr-range-test", args.lr_range_test)):
        if is_given and (args.eval_only or (args.resume and flag == "--lr-range-test")):
            excluded = "--eval-only" if args.eval_only else "--resume"
            raise InputError(f"{flag} tries a new training run; omit {excluded}")
    if args.dry_run and args.lr_range_test:
        raise InputError("--dry-run and --lr-range-test exclude each other; give one of them")
    if args.config_file or not args.eval_only:  # else the weights determine the config
        check_config(args.config_file, args.opts)
    weights = _given_text(args.opts, "train.init_checkpoint")
    if weights and not args.resume:
        check_weights(weights)
    if not weights and args.eval_only and not args.config_file:
        raise InputError("neither weights nor a config file were given; add --weights FILE, or --config-file RECIPE")
    output_dir = _given_text(args.opts, "train.output_dir")
    if output_dir and not args.dry_run:
        reason = unwritable_reason(output_dir)
        if reason:
            raise InputError(f"train.output_dir={output_dir} cannot be written ({reason}); give another folder")


def check_prediction(args: Namespace) -> None:
    """Check the arguments of `predict`: config, inputs, weights and output folder.

    Raises:
        InputError: One of them cannot be used.
    """
    if args.config_file:
        check_config(args.config_file, args.opts)
    check_weights(args.weights)
    if not any(map(os.path.exists, args.input)):
        find_inputs(args)
    reason = unwritable_reason(args.output)
    if reason:
        raise InputError(f"{args.output}: the results cannot be written ({reason}); give another --output.")


def find_inputs(args: Namespace, kinds: Sequence[str] = ("image", "video")) -> InputList:
    """Return the inputs of `predict`, and print why those of `--input` that cannot be used cannot.

    Raises:
        InputError: There are none of these kinds.
    """
    found = list_inputs(args.input, args.output, args.recursive, kinds)
    for problem in found.unusable:
        print(f"failed: {printable(problem)}", file=sys.stderr)
    if not found.inputs:
        raise InputError(f"no {' or '.join(kinds)} in {', '.join(args.input)}: name files or folders that have some.")
    return found


def _given_text(overrides: Sequence[str], key: str) -> str | None:
    """Return the text to which `overrides` set `key`; None for a reference to another key, which needs the config."""
    if not overrides:
        return None
    from eva_engine.config.override_grammar import override_value  # Hydra is not a base dependency

    value = override_value(overrides, key)
    if isinstance(value, str) and "${" not in value:
        return value
    return None
