"""`tinyllm compare --plot`: the drawing has what the words say, and nothing is written over or computed in vain."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.dvc_project import Project, in_memory
from tests.experiments.test_compare import ASKED, FEW, MORE, TWELVE, refusal, run_command
from tinyllm.cli.experiments import compare as command
from tinyllm.cli.experiments.compare import as_forest
from tinyllm.experiments.compare import compare

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def compared(project: Project) -> Project:
    project.commit("few", ASKED, FEW)
    project.put(ASKED, MORE)
    return project


def texts(path: Path) -> list[str]:
    return [mark.text or "" for mark in ElementTree.fromstring(path.read_text(encoding="utf-8")).iter(f"{SVG}text")]


def test_the_drawing_has_the_numbers_that_are_printed(compared: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run_command("few", "workspace")
    printed = capsys.readouterr().out
    run_command("few", "workspace", "--plot", "figures/gain.svg")
    assert capsys.readouterr().out == printed
    told = texts(Path("figures/gain.svg"))
    value, low, high = (
        told[told.index("workspace") + 1].replace("(", "").replace(")", "").split(" ")[i] for i in (0, 1, 3)
    )
    assert f"difference   {value} points, 95% t interval over questions and seeds {low} to {high}" in printed
    assert value == "+52.8" and told[-2] == "points against few"


def test_a_difference_that_holm_takes_away_is_a_ring() -> None:
    runs = [
        in_memory("control", TWELVE, lambda seed, i: i < 6),
        in_memory("better", TWELVE, lambda seed, i: True),
        in_memory("hardly", TWELVE, lambda seed, i: i < 7),
    ]
    drawn = ElementTree.fromstring(as_forest(compare(runs)))
    assert [mark.get("class") for mark in drawn.iter("circle")] == ["dot", "ring"]
    bold = [mark.text for mark in drawn.iter("text") if mark.get("class") == "strong"]
    assert bold == ["better"] and drawn.get("viewBox", "").split()[2] == "480"


@pytest.mark.parametrize(
    ("name", "found"), [("gain.png", "ends in .png"), ("gain.SVG", "ends in .SVG"), ("gain", "has no ending")]
)
def test_another_ending_is_refused_before_anything_is_computed(
    compared: Project, monkeypatch: pytest.MonkeyPatch, name: str, found: str
) -> None:
    monkeypatch.setattr(command, "read_runs", lambda names: pytest.fail("runs were read"))
    assert refusal("few", "workspace", "--plot", name) == (
        f"--plot {name}: {found}; allowed is .svg, from which `rsvg-convert -z 4` makes a PNG"
    )


def test_a_file_that_is_there_is_replaced_by_force_alone(
    compared: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("gain.svg").write_text("mine", encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(command, "read_runs", lambda names: pytest.fail("runs were read"))
        assert refusal("few", "workspace", "--plot", "gain.svg") == (
            "--plot gain.svg: is there already; --force replaces it, or give another name"
        )
    assert Path("gain.svg").read_text(encoding="utf-8") == "mine"
    run_command("few", "workspace", "--plot", "gain.svg", "--force")
    assert "workspace" in texts(Path("gain.svg"))


def test_a_pipe_is_written_to(compared: Project, capfd: pytest.CaptureFixture[str]) -> None:
    os.symlink("/dev/stdout", "out.svg")
    run_command("few", "workspace", "--plot", "out.svg")
    assert capfd.readouterr().out.startswith('<svg viewBox="-8 -8 496 ')
