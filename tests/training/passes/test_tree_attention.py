"""One row a question with a branch a task: the same losses and gradients as every task in a row by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import IGNORED, LoadedModel, loaded_model
from tinyllm.student.encoding import InputEncoder
from tinyllm.training.batching import collate
from tinyllm.training.examples import Example, Task, encode_corpus
from tinyllm.training.objective import Objective
from tinyllm.training.passes.tree_attention import UNSEEN, build_tree_batch, has_plain_head, split_trees, tree_length
from tinyllm.training.step_collator import StepCollator, TrainingSample

TASKS = [Task("answer", "predict: ", 1.0), Task("ann", "explain as ann: ", 0.5), Task("bob", "explain as bob: ", 2.0)]
ROWS = [
    row | {"weights": {"bob": 0.25 * (i + 1)}}
    for i, row in enumerate(toy_rows(toy_questions(6), "ann", "bob"))  # of bob's rationales each fourth is missing
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def causal(tokenizer: Any) -> LoadedModel:
    return loaded_model(toy_causal(tokenizer), tokenizer)


def samples(model: LoadedModel) -> list[TrainingSample]:
    reader = InputEncoder(toy_params(student__shared_encoder=True).student, model)
    examples, _ = encode_corpus(ROWS, TASKS, reader)
    return [TrainingSample(row["id"], own) for row, own in zip(ROWS, examples, strict=True)]


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def test_a_row_is_the_question_and_then_each_tasks_branch() -> None:
    nothing, head = ids(), (7, 8)
    answer = Example(0, nothing, ids(*head, 20), ids(30), 1.0, 2)
    rationale = Example(2, nothing, ids(*head, 21, 22), ids(31, 32), 0.5, 2)
    short = Example(0, nothing, ids(9, 20), ids(33), 1.0, 1)
    part = build_tree_batch([[answer, rationale], [short]], pad_id=0)
    assert part["input_ids"].tolist() == [[7, 8, 20, 21, 22, 31], [9, 20, 0, 0, 0, 0]]
    assert part["position_ids"].tolist() == [[0, 1, 2, 2, 3, 4], [0, 1, 0, 0, 0, 0]]
    no = IGNORED
    assert part["labels"].tolist() == [[no, no, 30, no, 31, 32], [no, 33, no, no, no, no]]
    labelled = part["labels"] != IGNORED
    assert part["tasks"][labelled].tolist() == [0, 2, 2, 0]
    assert part["weights"][labelled].tolist() == [1.0, 0.5, 0.5, 1.0]
    seen = part["attention_mask"][0, 0] == 0
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],  # the answer's prefix
        [1, 1, 0, 1, 0, 0],  # the rationale's sees nothing of it
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 1, 1, 1],
    ]
    assert part["attention_mask"].shape == (2, 1, 6, 6) and part["attention_mask"].min() == UNSEEN
    assert (part["attention_mask"][1, 0, :2, 2:] == UNSEEN).all()  # nothing sees the padding but itself


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_losses_and_gradients_are_those_of_a_row_a_task(tokenizer: Any, attention: str) -> None:
    found = []
    for branched in (True, False):
        model = causal(tokenizer)
        model.plain.set_attn_implementation(attention)
        step = StepCollator(model, 3, 4096)
        step.trees = branched
        made = step(samples(model))
        assert ("position_ids" in made.parts[0]) == branched
        objective, total = Objective(model, torch.tensor([1.0, 0.5, 2.0])), torch.zeros(3)
        for part in made.parts:
            loss, sums = objective(part, made.counts)
            loss.backward()
            total += sums
        found.append((total, made.counts, {name: weight.grad for name, weight in model.plain.named_parameters()}))
    (sums, counts, gradients), (apart, apart_counts, expected) = found
    assert torch.equal(counts, apart_counts) and (sums > 0).all()
    torch.testing.assert_close(sums, apart, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_questions_of_like_length_share_a_pass_within_the_budget(tokenizer: Any) -> None:
    questions = [sample.examples for sample in samples(causal(tokenizer))]
    lengths = sorted(map(tree_length, questions))
    parts = split_trees(questions, 2 * lengths[-1])
    assert [tree_length(one) for part in parts for one in part] == lengths and len(parts) >= 3
    assert all(len(part) * max(map(tree_length, part)) <= 2 * lengths[-1] for part in parts)
    assert [len(part) for part in split_trees(questions, 1)] == [1] * 6  # a question over the budget, by itself


def test_a_question_is_computed_once(tokenizer: Any) -> None:
    for sample in samples(causal(tokenizer)):
        heads = {tuple(example.prompt[: example.shared]) for example in sample.examples}
        assert len(heads) == 1 and sample.examples[0].shared > 20
        apart = collate(sample.examples, 0)["attention_mask"].sum().item()
        assert tree_length(sample.examples) == apart - (len(sample.examples) - 1) * sample.examples[0].shared


def test_a_model_of_another_kind_reads_a_row_a_task(tokenizer: Any) -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, eos_token_id=1))
    other, t5 = loaded_model(gpt2, tokenizer), loaded_model(toy_model(tokenizer), tokenizer)
    assert [has_plain_head(model) for model in (causal(tokenizer), t5, other)] == [True, False, False]
    made = StepCollator(other, 3, 4096)(samples(other))
    assert all("position_ids" not in part for part in made.parts)
    assert made.counts.tolist() == StepCollator(causal(tokenizer), 3, 4096)(samples(other)).counts.tolist()
