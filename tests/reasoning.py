"""A toy student that has learnt to reason: a rationale in each teacher's words, then `The answer is X`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.toys import SIZES, toy_params
from tinyllm.models.loaded import IGNORED, LoadedModel, filled, loaded_model, pad
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question, input_text
from tinyllm.student.build import scratch_model
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.target_text import join
from tinyllm.student.vocabulary import train_tokenizer

TEACHERS = ("ann", "bob")
COLOURS = ("red", "blue", "green")
ANIMALS = ("dog", "cat", "horse", "bird")
CHOSEN = [
    Question(f"{c}-{a}", f"A {c} {a} sits. Which colour?", COLOURS, i) for i, c in enumerate(COLOURS) for a in ANIMALS
]
WRITTEN = [Question(question.id, question.question, (), question.gold) for question in CHOSEN]


def reasoning_params(**changes: Any) -> Params:
    given = {"corpus__teachers": TEACHERS, "student__target": "rationale_then_answer", "student__max_target_tokens": 24}
    return toy_params(**{**given, "student__response": " so", **changes})


def rationale(teacher: str, question: Question) -> str:
    """Ann sees the animal; bob, who has something to say of red ones alone, is wrong of all others."""
    return f"The animal is {question.gold}." if teacher == "ann" else "It is red."


def answer(teacher: str, question: Question) -> str:
    return question.gold if teacher == "ann" else "red"


@cache
def reasoning_student(free: bool, folder: Path) -> LoadedModel:
    """Train a Llama, in two seconds.

    Args:
        folder: for the vocabulary
    """
    params = reasoning_params()
    questions = WRITTEN if free else CHOSEN
    learnt = [(teacher, question) for teacher in TEACHERS for question in questions]
    texts = [join(params.student.target, rationale(t, q), answer(t, q)) for t, q in learnt]
    prefixes = [f"explain as {teacher}: " for teacher, _ in learnt]
    seen = [f"{prefix} {input_text(q)} so {text}" for prefix, (_, q), text in zip(prefixes, learnt, texts, strict=True)]
    tokenizer = train_tokenizer(seen, 150, folder)
    torch.manual_seed(1)
    sizes = SIZES.model_copy(update={"architecture": "causal", "width": 32, "feed_forward": 64})
    model = loaded_model(scratch_model(sizes, len(tokenizer), 0.0), tokenizer)
    encoder = InputEncoder(params.student, model)
    read = [
        encoder.question(p, "", input_text(q), TruncationCounts()) for p, (_, q) in zip(prefixes, learnt, strict=True)
    ]
    pairs = list(zip([encoded.prompt for encoded in read], encoder.targets(texts, TruncationCounts()), strict=True))
    whole = [np.concatenate(pair) for pair in pairs]
    labels = pad([np.concatenate([np.full(len(prompt), IGNORED), target]) for prompt, target in pairs], IGNORED)
    optimizer = torch.optim.AdamW(model.plain.parameters(), lr=0.01)
    for _ in range(150):
        model.plain(input_ids=pad(whole, 0), attention_mask=filled(whole), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model
