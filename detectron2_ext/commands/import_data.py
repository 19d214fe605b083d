r"""Convert annotations of detection or instance segmentation to COCO JSON, and report what is in them.

    python -m tools import-data --input voc_folder --output converted
    python -m tools import-data --input labels.csv --images photos --output converted --val-share 0.1

The format is detected: COCO JSON, YOLO, Pascal VOC, LabelMe, CVAT for images 1.1, CSV, Hugging Face. The output folder
gets a file for each part of the data, train.json, val.json and test.json, or all.json, and import_report.json with the
counts of each flaw and the names of the files. Nothing is written to the folders of the data. `train` and `evaluate`
convert the data of --train-data and --val-data in the same way.

Exit status: 0, or 2 if the data cannot be used.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    from ..task import IMPORT_OPTIONS

    parser = command_parser(__doc__)
    parser.add_argument("--input", required=True, metavar="PATH", help="folder or annotation file of the data")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to write")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of the images, if they are elsewhere")
    parser.add_argument(
        "--val-share", type=float, metavar="F", help="divide data without a validation part: this fraction is val.json"
    )
    for option in IMPORT_OPTIONS:
        parser.add_argument(option.flag, help=option.help, **option.keywords)
    parser.add_argument(
        "--difficult",
        choices=("ignore", "keep", "drop"),
        default="ignore",
        help="objects that Pascal VOC marks as difficult. ignore: crowd regions, on which nothing is trained and which "
        "evaluation ignores; keep: like others; drop: left out (default: ignore)",
    )
    parser.add_argument(
        "--split", type=Path, metavar="FILE", help="list of Pascal VOC files, such as ImageSets/Main/train.txt"
    )
    parser.add_argument("--classes", metavar="A,B,...", help="names of the classes in the order of their ids from 1")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out files that cannot be used, instead of stopping"
    )
    return run_command(_import, parser.parse_args(argv))


def _import(args: argparse.Namespace) -> None:
    # Imported late, so that --help is answered at once.
    from ..importing.class_questions import parse_renamed
    from ..importing.conversion import write_parts
    from ..importing.imported_data import ImportOptions
    from ..importing.parts import divide
    from ..importing.reading import read_data
    from ..importing.report import format_report

    source = Path(args.input).resolve()
    output = args.output.resolve()
    if source.is_dir() and output.is_relative_to(source):
        raise InputError(f"--output {args.output} is in the folder of the data; give another one.")
    if args.val_share is not None and not 0 < args.val_share < 1:
        raise InputError(f"--val-share is {args.val_share}; give a fraction between 0 and 1, such as 0.1.")
    options = ImportOptions(
        images=args.images,
        format=args.data_format,
        renamed=parse_renamed(args.rename_class),
        class_names=_class_names(args.classes),
        pixels_from=args.pixels_from,
        difficult=args.difficult,
        listing=args.split,
        extracted=output / "images",
    )
    data = read_data(args.input, options, skip_advice="add --skip-bad", skip_bad=args.skip_bad)
    if args.val_share is not None:
        divide(data, args.val_share)
    print(format_report(data))
    files = write_parts(data, output)
    for part, file in files.items():
        print(f"{file}: images in {data.images_of(part).resolve()}")


def _class_names(text: str | None) -> dict[int, str] | None:
    if text is None:
        return None
    return dict(enumerate((name.strip() for name in text.split(",")), start=1))
