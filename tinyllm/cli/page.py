"""`tinyllm page`: the run's page once more, with today's control, day and commit."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.experiments import find_attribution, find_control, find_origin
from tinyllm.provenance import check_run
from tinyllm.records.files import atomic_write
from tinyllm.report import draw, read_report, render

REPORT = Path("report")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "page",
        help="make the run's page anew, once there is a control",
        description="Make report/index.html anew from report/page.json: with the control that is there now, what "
        "`tinyllm attribute` found, today's date and the current commit. `dvc repro` makes the page, too; do this after a "
        "control has run, or after `dvc checkout`.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the page of the run in this folder.

    Raises:
        ValueError: the stage `report` has not run, or what it shows is of other params.
    """
    report = read_report(REPORT)
    check_run()
    page = render(report, draw(report), find_origin(), control := find_control(), find_attribution())
    with atomic_write(REPORT / "index.html") as file:
        file.write(page)
    told = f"against the control {control['name']}" if control["name"] else "without a control"
    print(f"{REPORT / 'index.html'}: {len(report['questions'])} questions, {told}")
