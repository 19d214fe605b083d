"""Serve a page for a model of any task, on which images and videos are tried, and an endpoint for programs.

    python -m tools serve --weights NAME

The page is reachable only from this machine unless --host says otherwise; it has no passwords. Programs send a file
as the body of POST /api/predict and get the JSON document that `predict` writes. The model processes one request at a
time. Nothing is sent to other servers, and the browser loads nothing from them.

Exit status: 2 for an unusable option, config or weight file, or a port that is in use; 130 after Ctrl-C.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from eva_backbone.errors import InputError
from eva_engine.commands.cli import (
    add_dtype_option,
    add_model_options,
    command_parser,
    parse_with_overrides,
    positive_int,
    run_command,
)
from eva_engine.commands.early_checks import check_config
from eva_engine.commands.import_time import defer_slow_imports
from eva_engine.commands.task_options import add_task_options, check_task_options, given_options, options_of_all_tasks
from eva_engine.prediction.inputs import list_inputs
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import PrintableFormatter, printable
from eva_engine.tasks import Option, Task

from ..page.limits import Limits
from ..page.startup import open_port, prepared_gradio, shown_url

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEFAULTS = Limits()


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    texts = [option.name for option in options_of_all_tasks(_options) if option.is_text]
    args = parse_with_overrides(_parser(), argv, "examples", texts=texts)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[terminal])
    return run_command(_serve, args)


def _serve(args: argparse.Namespace) -> None:
    if args.config_file:
        check_config(args.config_file, args.opts)
    check_weights(args.weights)
    found = list_inputs(args.examples, None)
    if found.unusable:
        raise InputError(f"--examples: {found.unusable[0]}.")
    # The port is taken before a large model is loaded.
    with open_port(args.host, args.port) as listening, prepared_gradio() as folder:
        defer_slow_imports()
        from eva_engine.prediction.load_predictor import build_predictor, load_recipe

        from ..page.application import build_application
        from ..page.server import serve
        from ..page.service import PredictionService

        recipe = load_recipe(args.weights, args.config_file, args.opts, args.trust_recipe)
        task = recipe.task
        check_task_options(task, args, _options)
        options = given_options(task.predict_options, args)
        if args.dtype is not None:
            options["dtype"] = args.dtype
        predictor = build_predictor(recipe, args.weights, args.device, options, args.compile)
        limits = Limits(args.max_bytes, args.max_pixels, args.max_video_frames)
        service = PredictionService(predictor, task, limits)
        name = task.name.capitalize() if task.name.islower() else task.name
        application = build_application(service, folder, found.inputs, args.allow_host, f"{name} with EVA")
        listening.listen()  # whoever reads the address can connect at once
        print(
            f"{task.name} with the recipe {printable(recipe.path)}: {shown_url(listening)} (Ctrl-C ends it)", flush=True
        )
        if args.host not in _LOOPBACK:
            print("everyone who can reach this machine can use the page; it has no passwords", file=sys.stderr)
        serve(application, listening)


def _options(task: Task) -> Sequence[Option]:
    return task.predict_options


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    add_model_options(parser)
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s; 0 takes any free port")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on, default: %(default)s; 0.0.0.0 for the whole network"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name under which browsers reach the page, if it is not this machine's; repeatable",
    )
    parser.add_argument(
        "--examples", nargs="+", default=[], metavar="PATH", help="images or videos that the page offers"
    )
    for option, default, unit in (
        ("--max-bytes", _DEFAULTS.max_bytes, "bytes of an upload"),
        ("--max-pixels", _DEFAULTS.max_pixels, "pixels of an image or frame"),
        ("--max-video-frames", _DEFAULTS.max_frames, "frames of a video that a model for images processes"),
    ):
        parser.add_argument(
            option,
            type=positive_int,
            default=default,
            metavar="N",
            help=f"largest number of {unit}, default: {default:,}",
        )
    parser.add_argument("--device", default="auto", help="auto (CUDA if available, else CPU), cpu, cuda, cuda:1, ...")
    add_dtype_option(parser)
    parser.add_argument("--compile", action="store_true", help="compile the transformer blocks")
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    add_task_options(parser, _options)
    return parser
