"""Do this project and EleutherAI's lm-evaluation-harness choose the same option, question by question?

    pip install -e ".[crosscheck]"
    python -m benchmarks.crosscheck --model FOLDER --release FOLDER [--set obqa] [--questions 500] [--threads 2]

Both load the checkpoint from its folder, in float32, and score each option of the set's test questions behind the same prompt.
The harness gets prompts and options as text, by a task made here, and tokenises and batches them its own way. An option's
likelihood has its end-of-sequence in it, as everywhere in this project, so that stands at the end of the harness's options,
too; in the harness's own tasks it does not. Every question on which they differ is printed with both rows of scores and each
one's margin, the lead of its choice over its second: a difference is rounding where the margins are as small as the distance
between the scores of the two.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyllm.datasets.release import load_questions
from tinyllm.models.device import prepare_torch
from tinyllm.params.load import load_params
from tinyllm.params.schema import Student
from tinyllm.records.jsonl import write_jsonl
from tinyllm.records.questions import Question, input_text
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.folder import load_student
from tinyllm.student.predict import choose, encode_questions, option_scores

BATCH_TOKENS = 4096  # of ours
BATCH = 16  # options in one of the harness's passes
TASK = "tinyllm_crosscheck"
Scores = list[list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--release", type=Path)
    parser.add_argument("--set", default="obqa")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.release:
        os.environ["TINYLLM_MIRROR"] = given.release.resolve().as_uri()
    prepare_torch(given.threads)
    questions = load_questions(given.set, "test")[: given.questions]
    student = load_params().student
    own, other = ours(given.model, questions, student), theirs(given.model, questions, student)
    furthest = max(abs(a - b) for rows in zip(own, other, strict=True) for a, b in zip(*rows, strict=True))
    differing = [i for i in range(len(questions)) if choose(own[i]) != choose(other[i])]
    for i in differing:
        print(f"{questions[i].id}: {questions[i].question}")
        for name, scores in (("ours", own[i]), ("theirs", other[i])):
            numbers = " ".join(f"{score:.6f}" for score in scores)
            print(f"    {name:<6}  option {choose(scores)}  {numbers}  margin {margin(scores):.2e}")
    alike = len(questions) - len(differing)
    right = [sum(choose(row) == q.answer for row, q in zip(rows, questions, strict=True)) for rows in (own, other)]
    print(f"{alike} of {len(questions)} choices alike ({alike / len(questions):.1%})")
    print(f"furthest scores {furthest:.1e} apart; smallest margin {min(map(margin, own)):.1e}")
    print(f"right: {right[0]} by ours, {right[1]} by theirs")


def ours(folder: Path, questions: Sequence[Question], student: Student) -> Scores:
    model = load_student(folder)
    readings, options, _ = encode_questions(questions, InputEncoder(student, model), student.answer_prefix)
    return option_scores(model, readings, options, BATCH_TOKENS)


def theirs(folder: Path, questions: Sequence[Question], student: Student) -> Scores:
    """Score by the harness, on the CPU.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    from transformers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    causal = not config.is_encoder_decoder
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    with tempfile.TemporaryDirectory() as work:
        os.environ["HF_DATASETS_CACHE"] = work  # read once, when the library is first imported
        from lm_eval import simple_evaluate

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        path = Path(work) / "questions.jsonl"
        write_jsonl(path, (document(question, student, causal, tokenizer.eos_token) for question in questions))
        found = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(folder), "dtype": "float32", "add_bos_token": begins if causal else None},
            tasks=[task(path, " " if causal else "")],
            batch_size=BATCH,
            device="cpu",
            bootstrap_iters=0,
        )
    samples = sorted(found["samples"][TASK], key=lambda sample: sample["doc_id"])
    return [[float(answer[0][0]) for answer in sample["resps"]] for sample in samples]


def document(question: Question, student: Student, causal: bool, end: str) -> dict[str, Any]:
    """One question as text: what a student reads, and each option with the end-of-sequence behind it."""
    text = student.answer_prefix + (f"{question.context}\n" if question.context else "") + input_text(question)
    choices = [choice + end for choice in question.choices]
    return {"prompt": text + (student.response if causal else ""), "options": choices, "gold": question.answer}


def task(path: Path, delimiter: str) -> dict[str, Any]:
    """The harness's description of a task over such documents; a plain name is a field of theirs."""
    return {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "prompt",
        "doc_to_choice": "options",
        "doc_to_target": "gold",
        "target_delimiter": delimiter,
        "metric_list": [{"metric": "acc"}],
    }


def margin(scores: Sequence[float]) -> float:
    best, second, *_ = sorted(scores, reverse=True)
    return best - second


if __name__ == "__main__":
    main()
