"""A drawing is whole XML whatever its labels hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.hostile_texts import MARKUP, TERMINAL, obeyed
from tinyllm.report.figures import standalone
from tinyllm.report.figures.of_run import confusion, kept
from tinyllm.report.figures.svg import drawing, text

SPACE = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("label", [*TERMINAL.values(), *MARKUP.values()], ids=[*TERMINAL, *MARKUP])
def test_a_label_is_text_and_nothing_else(label: str) -> None:
    drawn = standalone(drawing(10, 10, label, [text(0, 0, label)]))
    root = ElementTree.fromstring(drawn)
    assert {element.tag.removeprefix(SPACE) for element in root.iter()} == {"svg", "title", "rect", "text"}
    assert set(root.attrib) == {"viewBox", "role", "aria-label", "width", "height", "font-family", "font-size"}
    (shown,) = [element.text or "" for element in root.iter(f"{SPACE}text")]
    assert obeyed(shown, kept="") == [] and len(shown) == len(label)


@pytest.mark.parametrize("label", ["\x00", "\x1b[2J</text>", "a\u202eb", "\ufffe", "a\nb"])
def test_a_figure_of_free_answers_is_whole(label: str) -> None:
    drawn = confusion([label, "other"], [[1, 2], [3, 4]])
    ElementTree.fromstring(standalone(drawn))
    counts = {"kept": 1, "quarantined": 2, "reasons": {label: 2}}
    ElementTree.fromstring(standalone(kept("ann", counts)))  # type: ignore[arg-type]
