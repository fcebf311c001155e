"""`tinyllm export corpus`: every row written out by hand, the folder as `datasets` opens it, its card, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from ruamel.yaml import YAML

from tests.exported import exported_params
from tests.runs import CORPUS, TEST, TRAIN, put_records, put_run
from tests.toys import toy_causal, toy_params, toy_questions, toy_tokenizer
from tinyllm.cli.export import with_kind
from tinyllm.cli.main import main
from tinyllm.export.corpus_folder import export_corpus
from tinyllm.export.corpus_rows import TaughtQuestion, chat_rows, question_row, read_taught, text_rows
from tinyllm.models.loaded import loaded_model
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_jsonl, write_json, write_jsonl
from tinyllm.records.questions import Question, input_text, write_questions
from tinyllm.student.encoding import InputEncoder, TruncationCounts

VALID = [Question("v1", "Is milk white?", ("yes", "no"), 0)]
FIRE = TaughtQuestion(TRAIN[1], {"answer": "no", "ann": "Fire is hot. So the answer is no."})
READ = "A fire burns.\nIt is night.\nIs fire cold?\nAnswer Choices:\n(a) no\n(b) yes"  # what a student reads of it


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run up to `assemble`; its train question t2 has no answer, so that it is not in the corpus."""
    root = tmp_path / "project"
    put_run(root)
    write_questions(root / "data/questions/valid.jsonl", VALID)
    rows = [row for row in read_jsonl(root / "data/corpus/train.jsonl") if row["id"] != "t2"]
    write_jsonl(root / "data/corpus/train.jsonl", rows)
    write_jsonl(
        root / "data/corpus/valid.jsonl", [{"id": "v1", "context": "", "input": "", "targets": {"answer": "yes"}}]
    )
    write_json(root / "metrics/questions.json", {"train": 3, "valid": 1, "test": 4})
    monkeypatch.chdir(root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return root


def opened(folder: Path, *name: str) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), *name, cache_dir=str(folder.parent / "cache"))


# --- rows -----------------------------------------------------------------------------------------------------------


def test_a_question_has_its_answer_and_a_column_for_every_teacher() -> None:
    assert question_row(FIRE, ["ann", "bob"]) == {
        "id": "t2",
        "question": "Is fire cold?",
        "context": "A fire burns.\nIt is night.",
        "choices": ["no", "yes"],
        "answer": "no",
        "answer_index": 0,
        "rationale_ann": "Fire is hot. So the answer is no.",
        "rationale_bob": None,
    }
    free = TaughtQuestion(Question("f", "2 + 2?", (), "4"), {"answer": "4"})
    row = question_row(free, ["id"])  # a teacher of that name
    assert (row["id"], row["choices"], row["answer"], row["answer_index"]) == ("f", [], "4", None)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        (
            {},
            [
                ("answer", f"predict: {READ}\nAnswer:", " no"),
                ("ann", f"explain as ann: {READ}\nAnswer:", " Fire is hot. So the answer is no."),
            ],
        ),
        (
            {"student__response": "\n", "student__target": "rationale_then_answer"},
            [("ann", f"explain as ann: {READ}\n", "Fire is hot. The answer is no")],
        ),
        (
            {"student__target": "answer_then_rationale", "student__chat": True},
            [
                ("answer", f"predict: {READ}\nAnswer:", " no"),
                ("ann", f"explain as ann: {READ}\nAnswer:", " The answer is no. Fire is hot. So the answer is no."),
            ],
        ),
        (
            {"student__shared_encoder": True},
            [
                ("answer", f"{READ}\npredict:", " no"),
                ("ann", f"{READ}\nexplain as ann:", " Fire is hot. So the answer is no."),
            ],
        ),
    ],
    ids=["multitask", "rationale then answer", "answer then rationale", "shared encoder"],
)
def test_a_prompt_is_what_a_causal_student_reads_and_its_completion_what_it_writes(
    changes: dict[str, Any], asked: list[tuple[str, str, str]]
) -> None:
    rows = text_rows(FIRE, toy_params(**changes).student, ["ann", "bob"])
    assert [(row["task"], row["prompt"], row["completion"]) for row in rows] == asked


@pytest.mark.parametrize("shared", [False, True])
def test_a_chat_has_a_turn_of_the_user_and_one_of_the_assistant(shared: bool) -> None:
    (answer, ann) = chat_rows(FIRE, toy_params(student__shared_encoder=shared).student, ["ann", "bob"])
    said = "Fire is hot. So the answer is no."
    asked = (READ, f"explain as ann: {said}") if shared else (f"explain as ann: {READ}", said)
    assert ann == {
        "id": "t2",
        "task": "ann",
        "messages": [{"role": "user", "content": asked[0]}, {"role": "assistant", "content": asked[1]}],
    }
    assert answer["messages"][1]["content"] == ("predict: no" if shared else "no")


@pytest.mark.parametrize(
    "changes", [{}, {"student__response": "\nAnswer:\n"}, {"student__response": ""}, {"student__shared_encoder": True}]
)
def test_a_prompt_and_its_completion_have_the_tokens_that_a_student_is_trained_on(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    student, tokenizer = toy_params(**changes).student, toy_tokenizer(tmp_path / "vocabulary")
    encoder = InputEncoder(student, loaded_model(toy_causal(tokenizer), tokenizer))
    for question in toy_questions(6):
        row = next(text_rows(TaughtQuestion(question, {"answer": question.gold}), student, []))
        reading = encoder.question("predict: ", question.context, input_text(question), TruncationCounts())
        written = encoder.target(question.gold, TruncationCounts()).tolist()[:-1]  # a trainer adds the end itself
        assert tokenizer(row["prompt"], add_special_tokens=False).input_ids == reading.prompt.tolist()
        assert tokenizer(row["completion"], add_special_tokens=False).input_ids == written


def test_a_corpus_that_does_not_follow_its_questions_is_refused() -> None:
    rows = read_jsonl("data/corpus/train.jsonl")
    write_jsonl("corpus.jsonl", rows[::-1])
    with pytest.raises(
        ValueError,
        match=r"^corpus.jsonl:2: id 't1' does not follow in data/questions/train.jsonl; run dvc repro assemble$",
    ):
        list(read_taught(Path("data/questions/train.jsonl"), Path("corpus.jsonl")))
    write_jsonl("corpus.jsonl", [{"id": "t1", "targets": {"ann": "So."}}])
    with pytest.raises(ValueError, match=r"^corpus.jsonl:1: no text for targets.answer; run dvc repro assemble$"):
        list(read_taught(Path("data/questions/train.jsonl"), Path("corpus.jsonl")))


# --- the folder -----------------------------------------------------------------------------------------------------


def test_datasets_opens_every_configuration_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyllm.export.corpus_folder.BATCH", 2)
    counts = export_corpus(tmp_path / "out", exported_params())
    assert counts["default"] == {"train": 2, "validation": 1, "test": 4}
    assert counts["messages"] == counts["prompt_completion"] == {"train": 5, "validation": 1}
    questions = opened(tmp_path / "out")
    assert {split: [row["id"] for row in rows] for split, rows in questions.items()} == {
        "train": ["t1", "t3"],
        "validation": ["v1"],
        "test": ["e1", "e2", "e3", "e4"],
    }
    assert questions["train"][0] == {
        "id": "t1",
        "question": "Is ice cold?",
        "context": "",
        "choices": ["yes", "no"],
        "answer": "yes",
        "answer_index": 0,
        "rationale_ann": "Ice is frozen water, so it is cold.",
        "rationale_bob": "Water that is ice is cold.",
    }
    assert [row["answer"] for row in questions["test"]] == [question.gold for question in TEST]
    assert questions["test"]["rationale_ann"] == [None] * 4
    chats = opened(tmp_path / "out", "messages")["train"]
    assert [(row["id"], row["task"]) for row in chats] == [
        ("t1", "answer"), ("t1", "ann"), ("t1", "bob"), ("t3", "answer"), ("t3", "ann"),
    ]  # fmt: skip
    assert [turn["role"] for turn in chats[0]["messages"]] == ["user", "assistant"]
    assert opened(tmp_path / "out", "prompt_completion")["train"].column_names == ["id", "task", "prompt", "completion"]


def test_what_datasets_opened_can_be_kept_and_moved(tmp_path: Path) -> None:
    from datasets import load_from_disk

    export_corpus(tmp_path / "out", exported_params())
    questions = opened(tmp_path / "out")
    questions.save_to_disk(str(tmp_path / "kept"))
    assert load_from_disk(str(tmp_path / "kept"))["train"][1] == questions["train"][1]
    (tmp_path / "out").rename(tmp_path / "moved")
    assert opened(tmp_path / "moved")["train"][1] == questions["train"][1]


def test_a_split_without_rows_has_no_file(tmp_path: Path) -> None:
    params = exported_params(student__target="rationale_then_answer")  # valid has no rationale
    export_corpus(tmp_path / "out", params)
    assert list(opened(tmp_path / "out", "messages")) == ["train"]
    assert not (tmp_path / "out/messages/validation.parquet").exists()


def test_two_exports_are_equal(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_corpus(tmp_path / name, exported_params())
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "two")
    )
    assert first == second and len(first) == 8


@pytest.mark.parametrize("folder", ["data/corpus/mine", "metrics", "models/student"])
def test_a_folder_in_use_is_refused(folder: str, project: Path) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(
        ValueError, match=f"^{folder}: (lies in .*, which a stage of the pipeline writes|is there already); "
    ):
        export_corpus(Path(folder), exported_params())
    assert sorted(project.rglob("*")) == before


def test_an_export_that_fails_leaves_nothing(project: Path) -> None:
    Path("data/corpus/valid.jsonl").unlink()
    before = sorted(project.rglob("*"))
    with pytest.raises(ValueError, match="^data/corpus/valid.jsonl: no such file; run dvc repro assemble$"):
        export_corpus(Path("out"), exported_params())
    assert sorted(project.rglob("*")) == before


# --- the card -------------------------------------------------------------------------------------------------------


def card(params: Params) -> DatasetCard:
    export_corpus(Path("out"), params)
    return DatasetCard.load("out/README.md")


def test_the_hubs_own_library_reads_the_card_and_writes_it_again_as_it_is() -> None:
    read = card(exported_params())
    assert str(read) == Path("out/README.md").read_text(encoding="utf-8")
    data = read.data
    assert (data.license, data.language, data.size_categories) == ("mit", ["en"], "n<1K")
    assert data.task_categories == ["multiple-choice", "text-generation"]
    assert [config["config_name"] for config in data.configs] == ["default", "messages", "prompt_completion"]
    assert (data.configs[0]["default"], data.source_datasets) == (True, ["original"])


def test_the_card_names_source_teachers_counts_and_terms() -> None:
    rows = [line for line in card(exported_params()).text.splitlines() if line.startswith(("| ann", "| bob"))]
    what = "rules of this project, no language model"
    assert rows == [
        f"| ann | {what} | 2 | 2 | 1 | declined 1 | MIT |",
        f"| bob | {what} | 1 | 0 | 4 | missing 2, states_other_option 1, too_short 1 | MIT |",
    ]


def test_a_corpus_of_unclear_terms_has_no_licence() -> None:
    params = exported_params(data__dataset="riddle", corpus__teachers=("flan_t5_xl",))
    write_json(
        "metrics/corpus.json", {**CORPUS, "control": "shuffled", "teachers": {"flan_t5_xl": CORPUS["teachers"]["ann"]}}
    )
    read = card(params)
    assert read.data.license is None and read.data.source_datasets == ["INK-USC/riddle_sense"]
    assert "No licence is stated for the corpus" in read.text
    assert "FLAN-T5 xlarge, recorded in the TinyLLM authors' release" in read.text
    assert "This run is a control of what rationales teach" in read.text


def test_a_corpus_without_teachers_speaks_of_none() -> None:
    text = card(exported_params(corpus__teachers=())).text
    assert not any(word in text for word in ("## Teachers", "rationale_TEACHER", "explain as"))


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("export out", "export student out"),
        ("export --seed 7 out", "export student --seed 7 out"),
        ("export student out", "export student out"),
        ("export corpus", "export corpus"),
        ("export --help", "export --help"),
        ("export", "export"),
        ("cache export out", "cache export out"),
    ],
)
def test_a_folder_alone_is_a_students(words: str, expected: str) -> None:
    assert " ".join(with_kind(words.split())) == expected


def test_the_command_exports_the_corpus_of_a_run_that_is_not_trained_yet(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(json.loads(exported_params().model_dump_json()), file)
    with pytest.raises(
        SystemExit, match="^error: metrics/used/download.json: no such file, so that it is not known wh"
    ):
        main(["export", "corpus"])
    put_records(project)
    for path in ("train/3.json", "train/7.json", "score.json", "exam/ann.json", "exam/bob.json"):
        Path("metrics/used", path).unlink()
    main(["export", "corpus"])
    told = "corpus: train 2, validation 1, test 4 questions, with the card README.md; read it before you pass it on\n"
    assert capsys.readouterr().out == told
    assert sorted(path.name for path in Path("corpus").iterdir()) == [
        "README.md",
        "default",
        "messages",
        "prompt_completion",
    ]
