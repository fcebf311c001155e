"""A new causal student's chat template: a chat has the tokens that the student was trained to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.toys import toy_causal, toy_params, toy_questions, toy_tokenizer
from tinyllm.models.loaded import loaded_model
from tinyllm.records.questions import input_text
from tinyllm.student.chat_template import chat_template
from tinyllm.student.encoding import InputEncoder, TruncationCounts


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"student__response": "", "student__answer_prefix": 'say "it"\n\\ {{ 3 }} \U0001f600 '},
        {"student__shared_encoder": True},
        {"student__target": "rationale_then_answer"},
    ],
)
def test_a_chat_has_the_tokens_of_the_training(tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = toy_params(**changes).student
    tokenizer = toy_tokenizer(tmp_path)
    encoder = InputEncoder(settings, loaded_model(toy_causal(tokenizer), tokenizer))
    tokenizer.chat_template = chat_template(settings, ["ann", "bob"])
    first = "explain as ann: " if changes.get("student__target") else settings.answer_prefix
    systems = {None: first, "You are a helpful assistant.": first, "bob": "explain as bob: "}
    for question in toy_questions(4):
        text = f"{question.context}\n{input_text(question)}" if question.context else input_text(question)
        for system, prefix in systems.items():
            read = encoder.question(prefix, question.context, input_text(question), TruncationCounts()).prompt
            turns = [{"role": "system", "content": system}] if system else []
            turns += [{"role": "user", "content": "An earlier one?"}, {"role": "assistant", "content": "red"}]
            turns += [{"role": "user", "content": text}]
            chat = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
            assert chat == read.tolist()
