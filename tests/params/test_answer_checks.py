"""What contradicts among the params of few gold answers and of controls, each told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tinyllm.params.load import load_params

ROOT = Path(__file__).resolve().parents[2]
CSQA = {"data.dataset": "csqa", "corpus.teachers": ["palm_540b", "gpt4o_1"]}
VOTED = {**CSQA, "data.labelled": 100, "corpus.answers": "teachers"}
NO_VOICE = (
    "corpus.answers: is teachers, but no teacher of corpus.teachers answers without being shown the gold answer; "
    "allowed are live teachers and recorded ones with forced: false (null is unknown and counts as shown); "
    "add one, or set it to gold"
)


def put(folder: Path, changes: dict[str, Any]) -> Path:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        if value is ...:
            del section[last]
        else:
            section[last] = value
    path = folder / "params.yaml"
    with open(path, "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.labelled": 0}, "data.labelled: found 0; allowed is greater than or equal to 1"),
        ({"corpus.answers": "all"}, "corpus.answers: found 'all'; allowed is 'gold' or 'teachers'"),
        ({"corpus.min_agreement": 1.5}, "corpus.min_agreement: found 1.5; allowed is less than or equal to 1"),
        ({"corpus.control": "mixed"}, "corpus.control: found 'mixed'; allowed is 'none', 'shuffled' or 'length'"),
        (
            {**CSQA, "corpus.answers": "teachers"},
            "corpus.answers: is teachers, but data.labelled is null: all questions have their gold; set that, or this to gold",
        ),
        ({**VOTED, "corpus.teachers": ["gpt4o_1"]}, NO_VOICE),
        ({**VOTED, "corpus.teachers": []}, NO_VOICE),
        ({**VOTED, "data.dataset": "jsonl", "corpus.teachers": ["steps"]}, NO_VOICE),
        (
            {**VOTED, "corpus.soft_answers": True},
            "corpus.soft_answers: is true, but loss.kd is 0.0, at which no option's probability is learnt; "
            "raise it, or set this to false",
        ),
        (
            {
                **VOTED,
                "data.dataset": "svamp",
                "corpus.teachers": ["endpoint"],
                "corpus.soft_answers": True,
                "loss.kd": 1.0,
            },
            "corpus.soft_answers: is true, but the questions have no options; set it to false",
        ),
        (
            {**CSQA, "corpus.soft_answers": True, "loss.kd": 1.0},  # of no vote: then there is nothing to learn
            "loss.kd: is 1.0, but corpus.option_probabilities is false; set that to true, or loss.kd to 0.0",
        ),
        (
            {"corpus.teachers": [], "corpus.control": "shuffled"},
            "corpus.control: is shuffled, but corpus.teachers is empty; name teachers, or set it to none",
        ),
    ],
)
def test_a_contradiction_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        load_params(put(tmp_path, changes))
    text = str(refusal.value)
    assert "\n" not in text and text.partition(": ")[2] == message


@pytest.mark.parametrize(
    "changes",
    [
        VOTED,
        {**VOTED, "corpus.soft_answers": True, "loss.kd": 1.0},
        {**VOTED, "data.dataset": "casebook", "corpus.teachers": ["signs"]},
        {**VOTED, "data.dataset": "svamp", "corpus.teachers": ["gpt4o_1", "endpoint"]},
        {**CSQA, "data.labelled": 100, "corpus.control": "length", "corpus.min_agreement": 0.8},
    ],
)
def test_what_does_not_contradict_is_taken(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert load_params(put(tmp_path, changes)).data.labelled == 100


def test_a_file_without_the_keys_means_what_it_meant(tmp_path: Path) -> None:
    keys = ("data.labelled", *(f"corpus.{name}" for name in ("answers", "min_agreement", "soft_answers", "control")))
    assert load_params(put(tmp_path, dict.fromkeys(keys, ...))) == load_params(ROOT / "params.yaml")


def test_the_stages_that_ask_and_that_assemble_depend_on_the_number_of_labelled_questions() -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    asking = {name for name, stage in stages.items() if "data.labelled" in stage.get("do", stage)["params"]}
    assert asking == {"query", "exam", "assemble"}
    assert "corpus" in stages["assemble"]["params"]  # and so the answers, the vote's limits, and the control
