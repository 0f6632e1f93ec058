"""Finds the command that a command line names, and runs it; only that command's module is imported."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from solo_d2.utils.errors import InputError, suggestion
from solo_d2.utils.version import __version__

PROGRAM = "solo-d2"
HELP_FLAGS = ("-h", "--help")
# A name's words are the path of its module below this package.
COMMANDS = {
    "train": "train a model",
    "photos": "train on a folder of photographs in time, and write a page on the result",
    "eval": "evaluate a model's weights",
    "predict": "segment pictures, folders, videos or a webcam",
    "convert": "rename published weights to this project's names, or back",
    "export": "write a model with its post-processing as one ONNX file",
    "export backbone": "write a pre-trained backbone for other models",
    "analyze dataset": "print the sizes of a data set's instances and the settings that suit it",
    "analyze errors": "print what each kind of a model's errors costs",
    "data scenes": "make the built-in data set",
    "data split": "write a part of a COCO annotation file",
    "data cityscapes": "write the instances of Cityscapes as COCO files",
    "data check-panoptic": "print what is wrong with a panoptic annotation set",
    "data semantic-maps": "make semantic maps from a panoptic annotation set",
    "labels free-mask": "segment images without labels: FreeSOLO's Free Mask",
    "labels self-training": "turn confident predictions into labels",
    "visualize activations": "draw a model's mask activations, mask features and kernels",
    "visualize labels": "draw labels over their images",
    "visualize correspondences": "draw the matches of a pre-trained backbone",
    "freesolo": "run all stages of FreeSOLO, from images to a segmenter",
    "zoo list": "list published models",
    "zoo show": "print the source, license and file of a published model",
    "zoo download": "download published models",
    "env": "print the environment, for bug reports",
}


def main() -> None:
    """Runs the command that ``sys.argv`` names, or prints the help."""
    words = sys.argv[1:]
    if words == ["--version"]:
        print(__version__)
    elif words and words[0] in HELP_FLAGS:
        print(help_text(COMMANDS))
    elif (
        len(words) == 2 and words[1] in HELP_FLAGS and words[0] not in COMMANDS and (group := group_of(words))
    ):
        print(help_text(group))
    else:
        name, rest = find_command(words)
        run_command(name, rest)


def run_command(name: str, words: Sequence[str]) -> None:
    """Runs a command of ``COMMANDS`` with the rest of its command line."""
    module = import_module(f"solo_d2.commands.{name.replace(' ', '.').replace('-', '_')}")
    parser: argparse.ArgumentParser = module.build_parser()
    parser.prog = f"{PROGRAM} {name}"
    module.run(parser.parse_args(words))


def find_command(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Returns the name of the command that a command line begins with, and the words after it.

    Raises:
        InputError: There is no such command.
    """
    for length in (2, 1):  # export backbone, before export
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    group = group_of(words)
    if not words or (group and (len(words) == 1 or words[1].startswith("-"))):
        names = ", ".join(group) or f"{PROGRAM} --help lists them"
        raise InputError(f"name a command: {names}")
    wrong = " ".join(words[: 2 if group else 1])
    hint = suggestion(wrong, COMMANDS, f"{PROGRAM} --help lists the commands")
    raise InputError(f"there is no command {wrong}{hint}")


def group_of(words: Sequence[str]) -> dict[str, str]:
    """Returns the commands whose names begin with the first word and have a second."""
    return {name: what for name, what in COMMANDS.items() if words and name.startswith(f"{words[0]} ")}


def help_text(commands: dict[str, str]) -> str:
    """Returns the list of commands and what each does."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {what}" for name, what in commands.items()]
    end = f"{PROGRAM} COMMAND --help shows its flags."
    return "\n".join([f"usage: {PROGRAM} COMMAND [flags]", "", *lines, "", end])
