"""Toy objects that several tests share: a world of short sentences, its vocabulary, a T5 of a few thousand weights."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, T5ForConditionalGeneration

from tinyllm.params.load import load_params
from tinyllm.params.schema import Params, Scratch
from tinyllm.records.questions import Question, input_text
from tinyllm.student.build import scratch_model
from tinyllm.student.vocabulary import train_tokenizer

torch.set_num_threads(1)  # the models are so small that a second thread only waits for the first

COLOURS = ("red", "blue", "green", "white")
ANIMALS = ("dog", "cat", "horse", "bird")
PLACES = ("at home", "in town", "by the river", "on a hill")
SIZES = Scratch(
    architecture="seq2seq", vocabulary=150, width=16, layers=1, heads=2, feed_forward=32, embedding_scale=1.0
)


def toy_questions(n: int, seed: int = 1, split: str = "q") -> list[Question]:
    """Which colour has the animal? The sentence says so, among other things."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        colour, animal, place = rng.choice(COLOURS), rng.choice(ANIMALS), rng.choice(PLACES)
        context = f"We met {place}. It was late." if i % 3 == 0 else ""
        choices = tuple(rng.sample(COLOURS, 4)) if i % 2 else tuple(c for c in COLOURS if c != "white" or c == colour)
        question = f"A {colour} {animal} sits {place}. Which colour has the {animal}?"
        out.append(Question(f"{split}-{i}", question, choices, choices.index(colour), context))
    return out


def toy_rows(questions: list[Question], *teachers: str) -> list[dict]:
    """Corpus rows; of every teacher but the first, each fourth rationale is missing."""
    rows = []
    for i, question in enumerate(questions):
        targets = {"answer": question.gold}
        for number, teacher in enumerate(teachers):
            if number == 0 or i % 4:
                targets[teacher] = f"We see that the animal is {question.gold}" + ", so it is." * (1 + (i + number) % 3)
        rows.append({"id": question.id, "context": question.context, "input": input_text(question), "targets": targets})
    return rows


def toy_tokenizer(folder: Path) -> Any:
    """A T5 tokenizer that knows the words of the toy questions and no digit, bracket or capital but theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = toy_rows(toy_questions(40), "ann")
    texts = [f"{row['context']}\n{row['input']}\n{row['targets']['ann']}" for row in rows]
    return train_tokenizer([*texts, *["predict: explain as ann: bob:"] * 9], SIZES.vocabulary, folder)


def toy_model(tokenizer: Any, seed: int = 1, dropout: float = 0.0) -> T5ForConditionalGeneration:
    torch.manual_seed(seed)
    return scratch_model(SIZES, len(tokenizer), dropout)


def toy_causal(tokenizer: Any, seed: int = 1, dropout: float = 0.0) -> LlamaForCausalLM:
    """A Llama of the same sizes."""
    torch.manual_seed(seed)
    return scratch_model(SIZES.model_copy(update={"architecture": "causal"}), len(tokenizer), dropout)


def toy_params(**changes: Any) -> Params:
    """The project's params.yaml with a tiny student on one CPU; `train__epochs=2` changes one value more."""
    values = load_params(Path(__file__).resolve().parents[1] / "params.yaml").model_dump()
    tiny: dict[str, Any] = {
        "corpus__teachers": ("ann", "bob"),
        "student__origin": "scratch",
        "student__scratch": SIZES.model_dump(),
        "student__answer_prefix": "predict: ",
        "student__rationale_prefix": "explain as {teacher}: ",
        "loss__answer": 1.0,
        "loss__alpha": 0.5,
        "loss__teacher_alpha": {},
        "train__epochs": 2,
        "train__batch_size": 4,
        "train__learning_rate": 0.01,
        "train__schedule": "constant",
        "train__warmup": 0.0,
        "train__dropout": 0.1,
        "train__eval_every": 1,
        "train__patience": 100,
        "score__normalize": "none",
        "score__precision": "fp32",
        "score__texts": True,
        "runtime__device": "cpu",
        "runtime__precision": "fp32",
        "runtime__batch_tokens": 4096,
    }
    for path, value in {**tiny, **changes}.items():
        section, key = path.split("__")
        values[section][key] = value
    return Params.model_validate(values)
