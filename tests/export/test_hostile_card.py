"""A card of hostile names: what a set, a model or a teacher is called stays text, whatever it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.export.test_model_card import HISTORY, LOCAL, SERVER, WHOLE
from tests.exported import exported_params, put_metrics
from tests.hostile_texts import MARKUP, TERMINAL, obeyed
from tinyllm.export.model_card import card, gather
from tinyllm.export.template import as_cell, as_code

BARE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)  # code, in which nothing is markup


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_metrics(tmp_path)
    monkeypatch.chdir(tmp_path)


def written(text: str, **changes: Any) -> str:
    """The card of a run in which every value that can be any text is this one."""
    params = exported_params(
        data__dataset="jsonl",
        data__folder=f"own/{text.replace('/', '')}x",
        corpus__teachers=("ann", "ben"),
        teachers__ann={**LOCAL, "model": f"a{text}x"},
        teachers__ben={**SERVER, "model": f"b{text.replace(' ', '')}"},
        student__answer_prefix=text,
        student__rationale_prefix=f"{text} {{teacher}}",
        student__response=text,
        **changes,
    )
    return card({**gather(3, params), **HISTORY, **WHOLE})


@pytest.mark.parametrize("text", [text for text in MARKUP.values() if "\n" not in text])
def test_markup_stays_text(text: str) -> None:
    shown = written(text, student__origin="hub", student__model=f"c{text}x")
    known = written("plain", student__origin="hub", student__model="cplainx")
    assert YAML(typ="safe").load(shown.split("---\n")[1])["base_model"] == f"c{text}x"
    prose, expected = (BARE.sub("", part.partition("---\n\n#")[2]) for part in (shown, known))
    for mark in (r"(?<!\\)\[[^\]]*\]\(", "!\\[", "<[a-z!/]", "://", r"(?<!\\)`"):
        assert len(re.findall(mark, prose)) <= len(re.findall(mark, expected)), mark
    rows = [line.count("|") - line.count("\\|") for line in shown.splitlines() if line.startswith("|")]
    assert rows == [line.count("|") - line.count("\\|") for line in known.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\u202egnp", "a\x9bb", "```\n# A heading\n```", "\u2028\u2029", "---\nlicense: mit"]
)
def test_a_prefix_of_any_text_stays_in_its_code(text: str) -> None:
    params = exported_params(student__answer_prefix=text, student__rationale_prefix=f"{text} {{teacher}}")
    shown = card({**gather(3, params), **HISTORY, **WHOLE})
    assert obeyed(shown, kept="\n") == []
    assert "\n# A heading" not in shown and "\nlicense: mit\n" in shown.split("\n---\n")[0]
    assert shown.count("\n```") == 4  # the fences of the two blocks of code


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_a_cell_holds_no_control_character(text: str) -> None:
    for shown in (as_cell(text), as_code(text), as_code([text])):
        assert obeyed(shown, kept="") == []
