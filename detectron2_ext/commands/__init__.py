"""What a user types: a module per verb, the table of them in verbs.py, and what all commands share."""

from detectron2_ext.output_files import check_output_file, clear_output, output_file

from .every_command import command_parser, parse_with_overrides, positive, run_command, run_exchange, share

__all__ = [
    "check_output_file",
    "clear_output",
    "command_parser",
    "output_file",
    "parse_with_overrides",
    "positive",
    "run_command",
    "run_exchange",
    "share",
]
