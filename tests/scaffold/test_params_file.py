"""A project's params.yaml: what `tinyllm init` sets in it, and what an upgrade adds."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tinyllm.params.load import check_values
from tinyllm.scaffold.new_keys import with_new_keys
from tinyllm.scaffold.params_file import new_teacher, project_params, recorded_teacher

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def load(text: str) -> dict:
    return YAML(typ="safe").load(text)


def changed(old: str, new: str) -> tuple[list[str], list[str]]:
    """The lines that are gone and those that are new."""
    before, after = old.splitlines(), new.splitlines()
    return [line for line in before if line not in after], [line for line in after if line not in before]


def test_questions_and_teachers_are_set_and_no_other_line_changes() -> None:
    made = project_params(TEXT, "questions", ["ann", "concise"], {"ann": recorded_teacher("ann")})
    gone, new = changed(TEXT, made)
    assert [line.split("#")[0].strip() for line in gone] == [
        "dataset: casebook",
        "folder: examples/own",
        "- signs",
        "- care",
    ]
    assert [line.split("#")[0].strip() for line in new] == [
        "dataset: jsonl",
        "folder: questions",
        "ann:",
        "backend: recorded",
        "- ann",
        "- concise",
    ]
    values = load(made)
    assert values["corpus"]["teachers"] == ["ann", "concise"]
    assert values["teachers"]["ann"] == {"backend": "recorded", "parameters": None}
    assert [line.index("#") for line in new[:2]] == [line.index("#") for line in gone[:2]], "comments keep their column"


def test_without_teachers_the_list_is_empty() -> None:
    made = project_params(TEXT, "questions", [], {})
    assert load(made)["corpus"]["teachers"] == [] and "  teachers: []\n" in made


def test_a_server_is_a_copy_of_the_endpoint_with_its_own_address() -> None:
    name, entry = new_teacher("big=https://example.org:1/v1,org/Model-7B:free", TEXT)
    made = load(project_params(TEXT, "questions", [name], {name: entry}))["teachers"]
    own = {"url": "https://example.org:1/v1", "model": "org/Model-7B:free", "parameters": None}
    assert made["big"] == made["endpoint"] | own and list(made["big"]) == list(made["endpoint"])


def test_a_local_teacher_is_a_copy_of_the_one_that_is_there() -> None:
    name, entry = new_teacher("small=local,models/with blank", TEXT)
    made = load(project_params(TEXT, "questions", [name], {name: entry}))["teachers"]
    assert made["small"] == made["flan_t5_xl_live"] | {"model": "models/with blank", "parameters": None}


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ("big=ftp://x,m", "allowed are NAME of params.yaml"),
        ("big=http://x/v1", "allowed are NAME of params.yaml"),
        ("big=local,", "allowed are NAME of params.yaml"),
        ("=local,m", "'' is no name; allowed are letters"),
        ("a.b=local,m", "'a.b' is no name; allowed are letters"),
        ("answer=local,m", "'answer' is no name; allowed are letters"),
    ],
)
def test_a_teacher_of_another_form_is_refused_in_one_line(asked: str, fault: str) -> None:
    with pytest.raises(ValueError) as error:
        new_teacher(asked, TEXT)
    assert str(error.value).startswith(f"--teacher {asked}: {fault}") and "\n" not in str(error.value)


def test_a_teacher_that_cannot_read_the_questions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^corpus\.teachers: signs .* has nothing to say on data\.dataset jsonl"):
        project_params(TEXT, "questions", ["signs"], {})


def test_an_upgrade_adds_keys_and_keeps_values_and_comments() -> None:
    older = TEXT.replace("epochs: 24 ", "epochs: 7  # mine ")
    for key in ("checkpoint_steps", "max_words", "match"):
        (line,) = [line for line in older.splitlines(keepends=True) if line.strip().startswith(f"{key}:")]
        older = older.replace(line, "")
    made, added = with_new_keys(older, TEXT)
    assert added == ["corpus.audit.max_words", "train.match", "runtime.checkpoint_steps"]
    assert made == TEXT.replace("epochs: 24 ", "epochs: 7  # mine ")
    assert check_values(load(made))[0] is not None


def test_an_upgrade_adds_a_whole_section_and_no_teacher() -> None:
    start, end = TEXT.index("loss:\n"), TEXT.index("train:\n  # one student")
    (line,) = [line for line in TEXT.splitlines(keepends=True) if line.startswith("  smollm2:")]
    older = TEXT[:start] + TEXT[end:]
    made, added = with_new_keys(older.replace(line, "  mine:\n"), TEXT)
    assert added == ["loss"]
    assert made == TEXT.replace(line, "  mine:\n")


def test_a_section_in_braces_is_left_to_its_owner() -> None:
    start, end = TEXT.index("loss:\n"), TEXT.index("train:\n  # one student")
    older = f"{TEXT[:start]}loss: {{answer: 1.0, alpha: 6.0}}\n\n{TEXT[end:]}"
    with pytest.raises(ValueError, match=r"^params\.yaml: lacks loss\.teacher_alpha, loss\.kd; add them by hand"):
        with_new_keys(older, TEXT)


def test_a_file_that_lacks_nothing_stays_byte_by_byte() -> None:
    assert with_new_keys(TEXT, TEXT) == (TEXT, [])
