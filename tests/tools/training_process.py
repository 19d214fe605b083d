"""The training command in a process that other processes start and kill."""

import contextlib
import sys

import torch

from eva_engine.commands.train import main

torch.set_num_threads(1)


def run(arguments: list[str], output_file: str) -> None:
    with open(output_file, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        sys.exit(main(arguments))
