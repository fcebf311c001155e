"""The console command `tinyllm`: what is no stage of the pipeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from tinyllm.console import guard_terminal, report_errors

# Every command with its line in `--help`, in that order. Its module is imported once the command is asked for: to import all
# of them takes half a second. A test holds these lines against those of the modules.
COMMANDS = {
    "init": "lay out a new project around questions of your own",
    "check": "check params.yaml and say what it asks for",
    "estimate": "say what the live teachers have yet to be asked, and what it costs",
    "repro": "run the pipeline as `dvc repro` does, teachers and seeds beside each other",
    "cost": "say what the live teachers were asked, and what that cost",
    "cache": "list, export, import or forget what teachers have answered",
    "summary": "say how good the trained students are",
    "page": "make the run's page anew, once there is a control",
    "compare": "say what can be concluded from two runs' predictions on test",
    "attribute": "say which teacher helped the students",
    "tune": "choose the settings of a table's rows on valid, with the same budget for each",
    "sweep": "say which experiments of a table have no result yet, or run them",
    "table": "print a table of experiments",
    "ask": "let a trained student answer a question",
    "serve": "serve a trained student by OpenAI's protocol, with a page to try it",
    "export": "copy a trained student, or the corpus, into a folder with a card",
}
OF_TABLES = ("compare", "attribute", "repro", "tune", "sweep", "table")  # their modules lie in a folder of their own
COMPLETION = "--print-completion"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand: the function that its parser sets as `run`, called with the parsed arguments.

    A mistake ends in one line (see `report_errors`).
    """
    guard_terminal()
    with report_errors():
        words = list(sys.argv[1:] if arguments is None else arguments)
        if words[:1] == ["answers"]:  # its old name
            raise ValueError(f"`tinyllm answers` is now `tinyllm cache`; run {' '.join(['tinyllm cache', *words[1:]])}")
        if words[:1] == ["export"]:
            words = import_module("tinyllm.cli.export").with_kind(words)
        parsed = build_parser(words).parse_args(words)
        parsed.run(parsed)


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line: of the command that it begins with whole, of all others their names alone.

    A shell's completion needs all of them whole.
    """
    parser = argparse.ArgumentParser(prog="tinyllm", description="Distil several language models into a small one.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    completing = any(word.startswith(COMPLETION) for word in words[:1])
    if completing or words[:1] in ([], ["-h"], ["--help"]):
        import shtab  # DVC brings it

        shtab.add_argument_to(parser, COMPLETION, help="print what makes a shell complete this command, and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, line in COMMANDS.items():
        if completing or words[:1] == [name]:
            module_of(name).add_parser(commands)
        else:
            commands.add_parser(name, help=line)
    return parser


def module_of(name: str) -> Any:
    """Return the module of a command, imported."""
    return import_module(f"tinyllm.cli.{'experiments.' if name in OF_TABLES else ''}{name}")


class _Version(argparse.Action):
    """Look the version up only where it is asked for: that takes longer than all the rest of `--help`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tinyllm.provenance.installed import package_version

        print(f"tinyllm {package_version()}")
        parser.exit()
