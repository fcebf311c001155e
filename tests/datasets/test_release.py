"""Reading the authors' release: toy strings for every trap, then the real files where they are at hand."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tinyllm.datasets import release as module
from tinyllm.datasets.download import Asset, read_manifest
from tinyllm.datasets.release import (
    LLAMA_NOTE,
    TEACHERS,
    TERMS,
    Release,
    load_questions,
    load_rationales,
    load_release,
    parse_rationales,
    split_context,
)
from tinyllm.params.teacher_entries import RELEASED
from tinyllm.records.questions import Question
from tinyllm.records.same_question import question_key

MOON = Question("train-1", "What lights the night?", ("a stone", "the moon", "the moon rock"), 1)
ASKED = "Q: What lights the night?\nAnswer Choices:\n(a) a stone\n(b) the moon\n(c) the moon rock"
GOLD = "Thus, the answer is (b) the moon"


def rationales_of(text: object, question: Question = MOON) -> list[str | None]:
    """Of each teacher the rationale where there is one, else the status."""
    rows = parse_rationales(text, question)
    assert list(rows) == list(TEACHERS)
    for row in rows.values():
        assert set(row) == {"id", "rationale", "status"} and row["id"] == question.id
        assert (row["status"] == "ok") == (row["rationale"] is not None)
    return [row["rationale"] or row["status"] for row in rows.values()]


@pytest.mark.parametrize(
    ("t5", "llama", "expected"),
    [
        ("It shines.", " llama rationale: It glows.", ["It shines.", "It glows."]),
        ("It shines.", "", ["It shines.", "missing"]),
        ("nan", " llama rationale: nan", ["nan", "nan"]),
        ("nanometres matter", " llama rationale: nan is bread", ["nanometres matter", "nan is bread"]),
        ("", " llama rationale: ", ["empty", "empty"]),
        ("It shines.", " llama rationale:", ["It shines.", "empty"]),
        ("It shines.", " llama rationale: \n\n", ["It shines.", "empty"]),
        ("It shines.", " llama rationale: Let's", ["It shines.", "trigger_only"]),
        ("It shines.", " llama rationale: Let's think\n step by step.\n", ["It shines.", "trigger_only"]),
        (
            "It shines.",
            " llama rationale: Let's think step by step.\nIt",
            ["It shines.", "Let's think step by step.\nIt"],
        ),
        ("See Q: what? It shines.", " llama rationale: Q: why?\n  So.", ["See Q: what? It shines.", "Q: why?\n  So."]),
        (f"{GOLD}. It shines.", f" llama rationale: {GOLD}", [f"{GOLD}. It shines.", GOLD]),
        (f"It shines. {GOLD}", " llama rationale: So.", [f"It shines. {GOLD}", "So."]),
        ("Thus, the answer is (a) a stone", "", ["Thus, the answer is (a) a stone", "missing"]),
        ("It shines.", f" llama rationale: So.\n\n{ASKED}", ["It shines.", f"So.\n\n{ASKED}"]),
        ("It shines.", f" llama rationale: {GOLD}\n\n{ASKED} llama rationale: x", None),
        (f"{ASKED} It shines.", " llama rationale: So.", [f"{ASKED} It shines.", "So."]),
        ("It shines.", "\nA: Let's think step by step. llama rationale: So.", ["It shines.", "So."]),
        ("It shines.", "\nA: Let's think step by step.", ["It shines.", "missing"]),
        ("It shines.", "\nA:Let's think step by step. llama rationale: So.", ["It shines.", "So."]),
        ("It shines.", "A:Let's think step by step.llama rationale:So.", ["It shines.", "So."]),
    ],
)
def test_a_string_is_taken_apart(t5: str, llama: str, expected: list[str] | None) -> None:
    rest = llama.partition("llama rationale: ")[2]
    assert rationales_of(f"{t5} {GOLD}\n\n{ASKED}{llama}") == (expected or [t5, rest])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        None,
        f"It shines. {GOLD}",
        f"It shines.\n\n{ASKED} llama rationale: So.",
        f"It shines. {GOLD} rock\n\n{ASKED} llama rationale: So.",
        f"It shines. Thus, the answer is (a) a stone\n\n{ASKED} llama rationale: So.",
        f"It shines. {GOLD}\n\n{ASKED.replace('night', 'day')} llama rationale: So.",
        f"It shines. {GOLD}\n\n{ASKED.replace('stone', 'star')} llama rationale: So.",
        f"It shines. {GOLD}\n\n{ASKED} and more llama rationale: So.",
        f"It shines. {GOLD}\n\n{ASKED}s llama rationale: So.",
    ],
)
def test_a_string_of_another_question_or_layout_is_unparsable(text: object) -> None:
    assert rationales_of(text) == ["unparsable", "unparsable"]


def test_a_question_may_hold_every_mark() -> None:
    odd = Question("valid-7", "Q: Thus, the answer is (a) x llama rationale: y?", ("(b) x", "Q: (a)"), 0)
    asked = "Q: Q: Thus, the answer is (a) x llama rationale: y?\nAnswer Choices:\n(a) (b) x\n(b) Q: (a)"
    assert rationales_of(f"Why. Thus, the answer is (a) (b) x\n\n{asked} llama rationale: So.", odd) == ["Why.", "So."]


def test_white_space_may_differ_between_question_and_string() -> None:
    text = "It  shines.\n Thus, the answer is (b) the   moon\n\nQ: What\nlights the  night? \nAnswer Choices:\n"
    assert rationales_of(text + "(a) a\tstone\n(b) the  moon\n\n(c) the moon rock ") == ["It  shines.", "missing"]


def test_context_and_question_stand_in_one_string() -> None:
    question = Question("train-2", "Did they?", ("yes", "no"), 1, "We saw 9 men.\nThey ran.")
    asked = "Q: We saw 9 men. \n They ran. \n Did they?\nAnswer Choices:\n(a) yes\n(b) no"
    assert rationales_of(f"They ran. Thus, the answer is (b) no\n\n{asked}", question) == ["They ran.", "missing"]


@pytest.mark.parametrize(
    ("text", "context", "question"),
    [
        ("We saw men. \n They ran. \n Did they?", "We saw men. \n They ran. ", " Did they?"),
        ("We saw men.\nDid they?\n \n", "We saw men.", "Did they?"),
        ("We saw men. They ran! Did they?", "We saw men. They ran!", "Did they?"),
        ("Did they?", "", "Did they?"),
        ("It is small. Does J. Smith say 3.5 mg vs. none?", "It is small.", "Does J. Smith say 3.5 mg vs. none?"),
    ],
)
def test_the_last_line_or_sentence_is_the_question(text: str, context: str, question: str) -> None:
    assert split_context(text) == (context, question)


class Toy:
    """A release in a folder that the manifest and the mirror are pointed at."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.assets = folder, dict[str, Asset]()
        monkeypatch.setattr(module, "read_manifest", lambda: self.assets)
        monkeypatch.setenv("TINYLLM_MIRROR", folder.as_uri())

    def add(self, path: str, text: str) -> None:
        data = text.encode()
        target = self.folder / "datasets" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.assets[f"datasets/{path}"] = Asset(f"datasets/{path}", len(data), git_blob(data), "")


def git_blob(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLLM_DATA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(tmp_path / "toy", monkeypatch)


def row(number: int) -> dict:
    return {"id": number, "question": f"Is {number} odd?", "choices": ["it  is ", "it is not"], "answer": "it is"}


def string(number: int) -> str:
    asked = f"Q: Is {number} odd?\nAnswer Choices:\n(a) it  is\n(b) it is not"
    return f"T5 on {number}. Thus, the answer is (a) it  is\n\n{asked} llama rationale: Llama on {number}."


def test_a_set_is_loaded_with_ids_that_differ_between_splits(toy: Toy) -> None:
    toy.add("piqa/piqa_train.json", json.dumps([row(1), row(2)], indent=4))
    toy.add("piqa/piqa_valid.json", json.dumps(row(1)) + "\n" + json.dumps(row(3)) + "\n")
    toy.add("piqa/piqa_test.json", json.dumps([row(1)]))
    for split, numbers in {"train": [1, 2], "valid": [1, 3], "test": [1]}.items():
        toy.add(f"piqa/llm/{split}_CoT_0.json", json.dumps([string(number) for number in numbers]))
    loaded = load_release("piqa")
    assert isinstance(loaded, Release)
    assert {split: [question.id for question in rows] for split, rows in loaded.splits.items()} == {
        "train": ["train-1", "train-2"],
        "valid": ["valid-1", "valid-3"],
        "test": ["test-1"],
    }
    assert loaded.splits["train"][0] == Question("train-1", "Is 1 odd?", ("it is", "it is not"), 0)
    assert loaded.rationales["llama2_chat_7b"] == [
        {"id": "train-1", "rationale": "Llama on 1.", "status": "ok"},
        {"id": "train-2", "rationale": "Llama on 2.", "status": "ok"},
        {"id": "valid-1", "rationale": "Llama on 1.", "status": "ok"},
        {"id": "valid-3", "rationale": "Llama on 3.", "status": "ok"},
    ]
    assert [row["id"] for row in loaded.rationales["flan_t5_xl"]] == ["train-1", "train-2", "valid-1", "valid-3"]


def test_a_row_whose_right_option_is_there_twice_goes_with_its_rationales(toy: Toy) -> None:
    twice = {**row(2), "choices": ["it is", "it  is"]}
    toy.add("piqa/piqa_train.json", json.dumps([row(1), twice, row(3)]))
    for split in ("valid", "test"):
        toy.add(f"piqa/piqa_{split}.json", json.dumps([row(1)]))
    for split, numbers in {"train": [1, 2, 3], "valid": [1]}.items():
        toy.add(f"piqa/llm/{split}_CoT_0.json", json.dumps([string(number) for number in numbers]))
    loaded = load_release("piqa")
    assert [question.id for question in loaded.splits["train"]] == ["train-1", "train-3"]
    assert [(said["id"], said["rationale"]) for said in loaded.rationales["flan_t5_xl"]] == [
        ("train-1", "T5 on 1."),
        ("train-3", "T5 on 3."),
        ("valid-1", "T5 on 1."),
    ]
    assert [(bad.row, bad.fault) for bad in loaded.bad] == [
        (2, "the answer 'it is' stands among the choices more than once")
    ]


def test_the_rationales_of_test_questions_are_not_even_fetched(toy: Toy) -> None:
    for split in ("train", "valid", "test"):
        toy.add(f"arc/arc_{split}.json", json.dumps([row(1)]))
        toy.add(f"arc/llm/{split}_CoT_0.json", json.dumps([string(1)]))
    (toy.folder / "datasets/arc/llm/test_CoT_0.json").unlink()
    assert len(load_release("arc").rationales["flan_t5_xl"]) == 2


def test_the_files_of_rationales_are_joined_in_the_order_of_their_numbers(toy: Toy) -> None:
    toy.add("arc/arc_train.json", json.dumps([row(number) for number in range(12)]))
    for number in range(12):
        toy.add(f"arc/llm/train_CoT_{number}.json", json.dumps([string(number)]))
    toy.assets = dict(sorted(toy.assets.items()))  # as in the manifest: 10 and 11 before 2
    rows = load_rationales("arc", "train", load_questions("arc", "train"))
    assert [row["flan_t5_xl"]["rationale"] for row in rows] == [f"T5 on {number}." for number in range(12)]


def test_other_numbers_of_strings_and_questions_are_refused(toy: Toy) -> None:
    toy.add("arc/arc_train.json", json.dumps([row(1), row(2)]))
    toy.add("arc/llm/train_CoT_0.json", json.dumps([string(1)]))
    with pytest.raises(
        ValueError, match=r"train_CoT_\*\.json: 1 strings in 1 files, but 2 questions in arc_train\.json"
    ):
        load_rationales("arc", "train", load_questions("arc", "train"))


def test_a_file_that_is_no_list_is_named(toy: Toy) -> None:
    toy.add("arc/llm/train_CoT_0.json", '{"a": 1}')
    with pytest.raises(ValueError, match=r"train_CoT_0\.json: found dict; expected one JSON list"):
        load_rationales("arc", "train", [])
    toy.add("arc/arc_train.json", "[1,")
    with pytest.raises(ValueError, match=r"arc_train\.json:1: not JSON"):
        load_questions("arc", "train")


def test_an_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="'boolq' is not in the release; allowed are obqa, arc, piqa, riddle, pubmedqa"
    ):
        load_release("boolq")


def test_every_set_of_the_manifest_has_its_terms() -> None:
    assert {path.split("/")[1] for path in read_manifest()} == set(TERMS) == set(RELEASED)
    assert all(text and "\n" not in text for text in [*TERMS.values(), LLAMA_NOTE])


# --- the real files -------------------------------------------------------------------------------------------------


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = Path(__file__).resolve().parents[3] / "shared/data/tinyllm-release"
    folder = Path(os.environ.get("TINYLLM_TEST_RELEASE") or beside)
    if not folder.is_dir():
        pytest.skip("no copy of the release; name one in TINYLLM_TEST_RELEASE")
    monkeypatch.setenv("TINYLLM_MIRROR", folder.resolve().as_uri())


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("name", "sizes", "t5", "llama"),
    [
        ("obqa", (4957, 500, 500), {"ok": 4955, "nan": 2}, {"ok": 4817, "nan": 29, "trigger_only": 111}),
        ("arc", (1117, 295, 1165), {"ok": 1105, "nan": 12}, {"ok": 1097, "nan": 4, "trigger_only": 16}),
        ("pubmedqa", (500, 100, 400), {"ok": 498, "nan": 2}, {"ok": 496, "trigger_only": 4}),
    ],
)
def test_the_released_sets_have_their_known_counts(name: str, sizes: tuple[int, ...], t5: dict, llama: dict) -> None:
    loaded = load_release(name)
    assert tuple(len(loaded.splits[split]) for split in ("train", "valid", "test")) == sizes
    for teacher, statuses in zip(TEACHERS, (t5, llama), strict=True):
        rows = loaded.rationales[teacher]
        assert [row["id"] for row in rows] == [q.id for split in ("train", "valid") for q in loaded.splits[split]]
        assert Counter(row["status"] for row in rows if row["id"].startswith("train-")) == statuses
        assert not any(row["status"] in ("unparsable", "missing") for row in rows)
    assert all(bool(question.context) == (name == "pubmedqa") for question in loaded.splits["train"])


@pytest.mark.usefixtures("real")
def test_piqa_has_rationales_of_one_teacher_only() -> None:
    questions = {split: load_questions("piqa", split) for split in ("valid", "test")}  # the train file is not at hand
    assert {split: len(rows) for split, rows in questions.items()} == {"valid": 919, "test": 919}
    rows = load_rationales("piqa", "valid", questions["valid"])
    assert Counter(row["flan_t5_xl"]["status"] for row in rows) == {"ok": 919}
    assert Counter(row["llama2_chat_7b"]["status"] for row in rows) == {"missing": 919}


@pytest.mark.usefixtures("real")
def test_obqa_and_arc_leak_as_many_questions_as_known() -> None:
    leaks, repeats = {}, {}
    for name in ("obqa", "arc"):
        rows = load_questions(name, "train")
        train = {question_key(question) for question in rows}
        leaks[name] = sum(question_key(question) in train for question in load_questions(name, "test"))
        repeats[name] = len(rows) - len(train)
    assert (leaks, repeats) == ({"obqa": 23, "arc": 7}, {"obqa": 129, "arc": 1})


@pytest.mark.parametrize(
    "change", [("(b) the moon\n\nQ:", "(b)the moonQ:"), ("\n", ""), ("? Answer", "?Answer"), (" ", "  ")]
)
def test_white_space_never_decides(change: tuple[str, str]) -> None:
    text = f"It shines. {GOLD}\n\n{ASKED}\nA:Let's think step by step. llama rationale: It glows."
    assert [said and " ".join(said.split()) for said in rationales_of(text.replace(*change))] == [
        "It shines.",
        "It glows.",
    ]


def test_a_file_of_which_many_rows_do_not_fit_is_told_with_the_first(toy: Toy) -> None:
    for split, count in (("train", 20), ("valid", 1), ("test", 1)):
        toy.add(f"arc/arc_{split}.json", json.dumps([row(number) for number in range(count)]))
    whole = "It is. Thus, the answer is (a) it is\n\nQ: Is {} odd?\nAnswer Choices:\n(a) it is\n(b) it is not"
    texts = [whole.format(number) for number in range(20)]
    toy.add("arc/llm/train_CoT_0.json", json.dumps([*texts[:6], "Of another question.", *texts[7:]]))
    toy.add("arc/llm/valid_CoT_0.json", json.dumps([whole.format(0)]))
    assert load_release("arc").notes == []
    toy.add("arc/llm/train_CoT_0.json", json.dumps([*texts[:6], "Of another question.", "Again.", *texts[8:]]))
    (note,) = load_release("arc").notes
    assert (
        note == "datasets/arc/llm/train_CoT_*.json: 2 of 20 rows do not fit their questions, the first that of train-6"
    )
