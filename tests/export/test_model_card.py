"""The model card: what the hub reads of it, the numbers of its tables, the terms, the limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from ruamel.yaml import YAML

from tests.exported import exported_params, put_metrics
from tinyllm.export.model_card import card, gather
from tinyllm.export.terms import licence
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_json, write_json
from tinyllm.student.base import write_base

HISTORY = {"locked": True, "commit": "0123456789abcdef0123456789abcdef01234567", "differed": False}
WHOLE = {"causal": False, "base": None, "space": " ", "harness": None}  # a sequence-to-sequence student's folder
LOCAL = {
    "backend": "local",
    "model": "/models/meta-llama/Llama-2-7b-chat-hf",
    "gguf_file": None,
    "revision": None,
    "trust_remote_code": False,
    "chat": False,
    "max_new_tokens": 8,
    "temperature": 0.0,
    "samples": 1,
    "seed": 1,
    "parameters": None,
}
SERVER = {
    "backend": "server",
    "url": "http://teachers.example:8000/v1",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "api": "chat",
    "key_variable": "TEACHER_KEY",
    "context_tokens": None,
    "max_new_tokens": 8,
    "temperature": 0.0,
    "samples": 1,
    "seed": None,
    "price": {"prompt": 0.0, "completion": 0.0},
    "parameters": None,
}


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put_metrics(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(params: Params, seed: int = 3, **history: Any) -> str:
    return card({**gather(seed, params), **HISTORY, **WHOLE, **history})


def front(text: str) -> dict:
    """The YAML block that a file starts with, as the hub takes it."""
    match = re.match(r"---\n(.*?\n)---\n\n# ", text, re.DOTALL)
    assert match
    return YAML(typ="safe").load(match[1])


def of_set(name: str, *teachers: str, **changes: Any) -> Params:
    return exported_params(data__dataset=name, corpus__teachers=teachers, **changes)


# --- what the hub reads ---------------------------------------------------------------------------------------------


def test_the_hub_reads_licence_language_tags_and_metrics() -> None:
    read = front(written(exported_params()))
    read.pop("model-index")
    assert read == {
        "license": "mit",
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["tinyllm", "distillation", "multiple-choice"],
        "metrics": ["accuracy", "exact_match"],
    }


def test_the_hub_reads_the_tests_metrics_with_their_intervals() -> None:
    found = ModelCard(written(exported_params(), 7)).data
    assert found.model_name == "tinyllm-casebook-7"
    assert [(result.metric_type, result.metric_value, result.metric_name) for result in found.eval_results] == [
        ("accuracy", 0.5, "Accuracy of this student (seed 7), 95% interval 6.1 to 93.9%"),
        ("accuracy", 0.625, "Accuracy, mean of 2 seeds, 95% interval 20.0 to 90.0%"),
        ("exact_match", 0.5, "Exact match of the greedy text, mean over 2 seeds"),
    ]
    places = {
        (result.task_type, result.dataset_type, result.dataset_name, result.dataset_split)
        for result in found.eval_results
    }
    assert places == {("multiple-choice", "casebook", "casebook", "test")}
    hub = ModelCard(written(of_set("hub"))).data.eval_results[0]
    assert (hub.dataset_type, hub.dataset_name) == ("allenai/openbookqa", "openbookqa")


def test_the_hubs_own_library_writes_the_card_again_as_it_is() -> None:
    text = written(of_set("obqa", student__origin="hub", student__model="google/flan-t5-small"))
    assert str(ModelCard(text)) == text
    Path("README.md").write_text(text, encoding="utf-8")
    name, results = model_index_to_eval_results(metadata_load("README.md")["model-index"])
    assert (name, len(results)) == ("tinyllm-obqa-3", 3)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (of_set("obqa", "flan_t5_xl"), "apache-2.0"),
        (of_set("arc"), "cc-by-sa-4.0"),
        (of_set("obqa", "flan_t5_xl", "llama2_chat_7b"), None),  # LLaMA's terms and the set's do not fit together
        (of_set("obqa", "flan_t5_xl", "llama2_chat_7b", loss__teacher_alpha={"llama2_chat_7b": 0.0}), "apache-2.0"),
        (of_set("riddle", "flan_t5_xl"), None),  # a set of unclear terms
        (of_set("jsonl", "concise"), None),
        (of_set("obqa", student__origin="hub", student__model="google/flan-t5-small"), None),
    ],
)
def test_a_licence_is_stated_where_every_source_has_clear_terms(params: Params, expected: str | None) -> None:
    text = written(params)
    assert front(text).get("license") == expected
    assert ("No licence is stated for the weights" in text) == (expected is None)


def test_the_hub_is_told_the_data_set_and_the_model_that_it_knows() -> None:
    text = written(of_set("obqa", student__origin="hub", student__model="google/flan-t5-small"))
    assert front(text)["datasets"] == ["allenai/openbookqa"]
    assert (front(text)["base_model"], front(text)["base_model_relation"]) == ("google/flan-t5-small", "finetune")
    told = (
        "It started from `google/flan-t5-small`, at a commit that was not recorded; the terms of that checkpoint apply "
    )
    assert told in text
    assert front(written(of_set("hub")))["datasets"] == ["allenai/openbookqa"]  # data.hub.path
    assert "datasets" not in front(written(of_set("bioasq")))


@pytest.mark.parametrize("tuning", ["full", "prompt"])
def test_the_commit_that_the_student_started_from_is_told(tuning: str) -> None:
    params = kind(student__tuning=tuning)
    Path("models/student/3").mkdir(parents=True)
    write_base(Path("models/student/3"), kind(student__revision="a1" * 20).student)
    text = written(params, base="some/model" if tuning == "prompt" else None)
    assert (
        f"It started from `some/model` at commit `{'a1' * 20}`; the terms of that checkpoint apply to it too." in text
    )
    assert (f"revision='{'a1' * 20}')" in text) == (tuning == "prompt")
    assert front(text)["base_model_relation"] == ("adapter" if tuning == "prompt" else "finetune")


@pytest.mark.parametrize(("causal", "told"), [(True, True), (False, False)])
def test_a_pipeline_is_named_where_it_loads_the_student(causal: bool, told: bool) -> None:
    text = written(exported_params(), causal=causal)
    assert ('`pipeline("text-generation", model=folder)`' in text) == told
    assert ("No pipeline of transformers 5 supports an encoder-decoder" in text) != told
    assert "text2text" not in text


# --- terms ----------------------------------------------------------------------------------------------------------


def test_the_released_teachers_are_named_with_their_licences() -> None:
    text = written(of_set("obqa", "flan_t5_xl", "llama2_chat_7b"))
    assert "| flan_t5_xl | 0.5 | FLAN-T5 xlarge, recorded in the TinyLLM authors' release | Apache-2.0 |" in text
    clause = "Llama 2's licence forbids using its outputs to improve any other large language model"
    assert f"| llama2_chat_7b | 0.5 | LLaMA-2-chat 7B, recorded | {clause} |" in text
    assert "Terms: OpenBookQA: Apache-2.0." in text


def test_a_live_llama_has_its_clause_and_no_place_of_this_machine() -> None:
    params = exported_params(teachers__ann=LOCAL, teachers__bob=SERVER)
    text = written(params)
    assert "| ann | 0.5 | Llama-2-7b-chat-hf (local) | Llama 2's licence forbids " in text
    assert "| bob | 0.5 | meta-llama/Llama-3.1-8B-Instruct (server) | Llama's licence sets terms for " in text
    assert not re.search(r"/models|teachers\.example|TEACHER_KEY", text)
    assert licence(params, ["ann", "bob"]) is None


def test_a_teacher_that_was_not_learnt_from_is_not_named() -> None:
    text = written(exported_params(loss__alpha=0.0))
    assert "answers alone, without a teacher" in text
    assert not re.search(r"## Teachers|\| ann \||explain as|A rationale that it writes", text.split("## Parameters")[0])


def test_a_teacher_whose_probabilities_were_learnt_is_named_without_a_voice() -> None:
    text = written(exported_params(loss__alpha=0.0, loss__kd=1.0))
    assert (
        "here on the\nanswers, without a teacher's rationales, and on how likely each option is to its teachers."
        in text
    )
    assert "| ann | 0.0 | rules of this project" in text
    assert not re.search(r"explain as|A rationale that it writes", text.split("## Parameters")[0])
    both = written(exported_params(loss__kd=1.0))
    assert "rationales of 2 teachers" in both and "prefix, and on how likely each option is to its teachers." in both


# --- students of other kinds ----------------------------------------------------------------------------------------


def kind(**changes: Any) -> Params:
    return exported_params(student__origin="hub", student__model="some/model", **changes)


@pytest.mark.parametrize(
    ("changes", "library", "told"),
    [
        ({}, "transformers", "apply to it too.\n"),
        ({"student__tuning": "lora"}, "transformers", "trained (LoRA); they are merged into its weights.\n"),
        ({"student__tuning": "upper"}, "transformers", "too. Only its upper layers were trained.\n"),
        ({"student__tuning": "prompt"}, "peft", "(a soft prompt), and they alone are in this folder.\n"),
    ],
)
def test_what_was_tuned_is_told(changes: dict[str, Any], library: str, told: str) -> None:
    text = written(kind(**changes), base="some/model" if library == "peft" else None)
    assert front(text)["library_name"] == library
    assert told in text and ('base = "some/model"' in text.replace("'", '"')) == (library == "peft")


def test_a_new_students_architecture_is_told() -> None:
    sizes = exported_params().student.model_dump()["scratch"]
    text = written(exported_params(student__scratch={**sizes, "architecture": "causal"}), causal=True)
    assert "It is a Llama that started from random weights" in text and "AutoModelForCausalLM" in text


def test_a_student_that_was_not_trained_is_said_to() -> None:
    text = written(kind(train__epochs=0))
    assert "base_model_relation" not in front(text)
    assert "It was not trained for that: it answers as the model does that it started from.\nIt started from" in text


def test_no_absolute_path_is_told() -> None:
    params = of_set(
        "jsonl", "concise", data__folder="/srv/sets/own", student__origin="local", student__model="/srv/t5-mine"
    )
    text = written(params)
    assert "/srv" not in text
    assert "a set of its maker's own, `own`" in text and "| student.model | `t5-mine` |" in text


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "accuracy", "low", "high"),
    # worked out by hand: Wilson's interval with t(0.975, 3) = 3.182446 in place of z, and 4 - 1 effective questions
    [(3, "75.0", "13.1", "98.4"), (7, "50.0", "6.1", "93.9")],
)
def test_the_students_own_accuracy_stands_beside_that_of_all_seeds(
    seed: int, accuracy: str, low: str, high: str
) -> None:
    text = written(exported_params(), seed)
    assert f"| this student (seed {seed}), interval over questions | {accuracy} | {low} to {high} |" in text
    assert "| mean of 2 seeds, interval over questions and seeds | 62.5 | 20.0 to 90.0 |" in text
    often = (
        "the text, or the place among the options, that is right most often in the test set (known only in hindsight)"
    )
    assert f"| a guess at random | 50.0 | |\n| always {often} | 75.0 | |" in text
    assert "| teacher bob, answering itself | 80.0 | 70.0 to 90.0 |" in text
    assert "teacher ann, answering itself" not in text  # it was not examined
    assert "equals the right option in 50.0% and no option in 12.5%" in text
    assert "it had 50.0%" in text and "A student of 210,304 parameters" in text


NULL = {"accuracy": None, "accuracy_low": None, "accuracy_high": None}


@pytest.mark.parametrize(
    ("exam", "row"),
    [
        (
            {**NULL, "questions": 12, "answered": 0, "unparsable": 12},
            "| teacher bob, answering itself | 12 of 12 answers could not be read | |",
        ),
        (
            {**NULL, "questions": 12, "answered": 0, "failed": 5, "declined": 7},
            "| teacher bob, answering itself | 5 of 12 answers could not be read, 7 of 12 questions declined | |",
        ),
        (
            {
                "accuracy": 0.0,
                "accuracy_low": 0.0,
                "accuracy_high": 0.2,
                "questions": 12,
                "answered": 0,
            },  # of older code
            "| teacher bob, answering itself | 12 of 12 answers could not be read | |",
        ),
        (
            {"accuracy": 0.25, "accuracy_low": 0.1, "accuracy_high": 0.5, "questions": 12, "answered": 9},
            "| teacher bob, answering itself: 3 of 12 answers could not be read | 25.0 | 10.0 to 50.0 |",
        ),
    ],
)
def test_a_teacher_that_could_not_be_read_has_no_accuracy_on_the_card(exam: dict[str, Any], row: str) -> None:
    write_json("metrics/exam/bob.json", {"examined": True, **exam})
    text = written(exported_params())
    assert [line for line in text.splitlines() if line.startswith("| teacher bob,")] == [row]


def test_a_student_that_may_as_well_guess_is_said_to() -> None:
    warning = "**It is not shown to do better than guessing**: 75.0%"
    assert warning in written(exported_params())
    score = read_json("metrics/score.json")
    write_json("metrics/score.json", {**score, "chance": 0.1, "majority": 0.12})
    assert "It is not shown to do better than guessing" not in written(exported_params())


def test_the_parameters_are_those_of_the_student_loss_and_training() -> None:
    text = written(exported_params())
    rows = dict(re.findall(r"^\| ([a-z_.]+) \| `(.*)` \|$", text, re.MULTILINE))
    assert (rows["loss.alpha"], rows["train.epochs"], rows["student.answer_prefix"]) == ("0.5", "2", "predict: ")
    assert rows["corpus.teachers"] == '["ann", "bob"]'
    assert not [key for key in rows if key.split(".")[0] not in ("corpus", "student", "loss", "train")]


def test_a_value_cannot_break_out_of_its_table() -> None:
    text = written(exported_params(student__answer_prefix="a|b`<b>\n"))
    assert '| student.answer_prefix | `"a\\|b\'<b>\\n"` |' in text


@pytest.mark.parametrize(
    ("target", "learnt", "limit"),
    [
        (
            "multitask",
            "at the same time on the\nanswers and on rationales of 2 teachers, each as a task of its own, told apart by",
            "It is written apart from the answer, may contradict it",
        ),
        (
            "rationale_then_answer",
            "on rationales of 2 teachers, each with the answer behind it as one text, told apart by",
            "It is written before the answer, may contradict it",
        ),
        (
            "answer_then_rationale",
            "at the same time on the\nanswers and on rationales of 2 teachers, each with the answer before it as one text, "
            "told apart by",
            "It is written apart from the answer, may contradict it",
        ),
    ],
)
def test_how_the_rationales_were_learnt_is_told(target: str, learnt: str, limit: str) -> None:
    text = written(exported_params(student__target=target))
    assert f"(https://arxiv.org/abs/2402.04616)), {learnt} the input's prefix." in text and limit in text
    assert f"| student.target | `{target}` |" in text
    behind = target == "rationale_then_answer"
    assert ("`The answer is`" in text) == behind == ("tokenizer('explain as ann: ' + text" in text)
    assert ("With the prefix `explain as {teacher}: ` in place of" in text) != behind


# --- how it came about ----------------------------------------------------------------------------------------------


def test_commit_and_difference_are_told() -> None:
    clean = f"Git commit `{HISTORY['commit']}`, and no tracked file differed from it. In a checkout of it:"
    assert clean in written(exported_params())
    assert "in a workspace that **differed** from it" in written(exported_params(), differed=True)
    assert "No git commit is known." in written(exported_params(), commit=None)
    assert "No dvc.lock tells" in written(exported_params(), locked=False)
    assert "dvc repro train@7 score\ntinyllm export student FOLDER --seed 7\n" in written(exported_params(), 7)


def test_the_card_is_the_same_every_time() -> None:
    assert written(exported_params()) == written(exported_params())


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("metrics/score.json", "score"),
        ("metrics/train/3.json", "train"),
        ("metrics/questions.json", "download"),
        ("data/predictions.jsonl", "score"),
    ],
)
def test_a_missing_file_is_named_with_its_stage(run: Path, path: str, stage: str) -> None:
    (run / path).unlink()
    with pytest.raises(ValueError, match=f"^{path}: no such file; run dvc repro {stage}$"):
        written(exported_params())


def test_a_card_says_that_a_run_is_a_control_and_whose_answers_were_learnt(run: Path) -> None:
    plain = written(exported_params(loss__alpha=0.0))
    answers = {"labelled": 1, "unlabelled": 2, "made": 2, "left_out": 0, "made_right": 0.5}
    write_json(run / "metrics/corpus.json", {"control": "shuffled", "answers": answers})
    params = exported_params(loss__alpha=0.0, corpus__answers="teachers", data__labelled=1)
    text = written(params)
    assert "control" not in plain and "teacher ann" not in plain
    assert "This run is a control of what rationales teach: each rationale learnt is another question's" in text
    assert "2 others have the answer that the teachers voted for; 50.0% of these are right." in text
    assert (
        "teacher bob, answering itself" in text
    )  # the terms of those who voted apply, whatever their rationales count
