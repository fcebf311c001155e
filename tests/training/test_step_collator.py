"""A step's passes: shared out over processes, and the divergence from the teachers' soft_labels by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.toys import SIZES, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.student.build import scratch_model
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.tuning import tune
from tinyllm.training.batching import PackedBatch, collate
from tinyllm.training.examples import Task, encode_corpus
from tinyllm.training.objective import Objective, padded_logits
from tinyllm.training.step_collator import OptionBatch, StepCollator, TrainingSample
from tinyllm.training.train import with_soft_labels

TASKS = [Task("answer", "predict: ", 1.0), Task("ann", "explain as ann: ", 0.5)]
QUESTIONS = toy_questions(6)  # of three options and of four
KD = 2.0
BELIEFS = {
    "q-0": {"ann": [0.5, 0.25, 0.25], "bob": [1.0, 0.0, 0.0]},
    "q-1": {"ann": [0.1, 0.2, 0.3, 0.4]},
    "q-3": {"bob": [0.25, 0.25, 0.25, 0.25]},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> LoadedModel:
    return loaded_model(toy_model(tokenizer).train(), tokenizer)


def samples(model: LoadedModel, weight: float = KD) -> list[TrainingSample]:
    rows = []
    for question, row in zip(QUESTIONS, toy_rows(QUESTIONS, "ann"), strict=True):
        told = {"option_probabilities": BELIEFS.get(question.id), "choices": list(question.choices)}
        rows.append(row | (told if question.id in BELIEFS else {}))
    reader = InputEncoder(toy_params().student, model)
    examples, _ = encode_corpus(rows, TASKS, reader)
    return with_soft_labels(rows, examples, reader, "predict: ", len(TASKS), weight)


def divergences(model: LoadedModel, sample: TrainingSample, per_token: bool) -> list[float]:
    """KL by its definition, one option after the other."""
    scores = []
    for option in sample.options:
        logs = torch.log_softmax(padded_logits(model, collate([option], 0))[0].double(), dim=-1)
        score = sum(float(logs[i, label]) for i, label in enumerate(option.labels))
        scores.append(score / len(option.labels) if per_token else score)
    own = np.exp(scores) / np.exp(scores).sum()
    assert sample.soft_labels is not None
    return [sum(p * np.log(p / q) for p, q in zip(row, own, strict=True) if p) for row in sample.soft_labels.tolist()]


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("batch_tokens", [10**6, 1])
def test_the_divergence_is_the_mean_over_every_teachers_beliefs_in_the_step(
    model: LoadedModel, batch_tokens: int, per_token: bool
) -> None:
    own = samples(model)
    step = StepCollator(model, 3, batch_tokens)(own)
    choices = [part for part in step.parts if isinstance(part, OptionBatch)]
    assert len(choices) == (1 if batch_tokens > 1 else 3) and step.counts[-1] == 4
    objective = Objective(model, torch.tensor([1.0, 0.5, KD]), per_token)
    with torch.no_grad():
        outcomes = [objective(part, step.counts) for part in choices]
        expected = sum(sum(divergences(model, sample, per_token)) for sample in own if sample.options)
    assert sum(float(sums[-1]) for _, sums in outcomes) == pytest.approx(expected, abs=1e-4)
    assert sum(float(loss) for loss, _ in outcomes) == pytest.approx(KD * expected / 4, abs=1e-4)
    assert expected > 0.1


def test_learning_beliefs_brings_the_student_nearer_to_them(model: LoadedModel) -> None:
    student = loaded_model(toy_model(model.tokenizer, seed=4).train(), model.tokenizer)
    step = StepCollator(student, 3, 10**6)(samples(student))
    (part,) = (part for part in step.parts if isinstance(part, OptionBatch))
    objective = Objective(student, torch.tensor([0.0, 0.0, 1.0]))
    optimizer = torch.optim.SGD(student.plain.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss, _ = objective(part, step.counts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]


def test_without_a_weight_nobodys_beliefs_are_looked_at(model: LoadedModel) -> None:
    own = samples(model, weight=0.0)
    assert all(sample.soft_labels is None and not sample.options for sample in own)
    assert not any(isinstance(part, OptionBatch) for part in StepCollator(model, 2, 10**6)(own).parts)


def test_processes_share_a_steps_lessons_and_know_the_whole_steps_counts(model: LoadedModel) -> None:
    own = samples(model)
    whole = StepCollator(model, 3, 10**6)(own)
    shares = [StepCollator(model, 3, 10**6, rank, 4)(own) for rank in range(4)]
    assert all(torch.equal(share.counts, whole.counts) and share.ids == whole.ids for share in shares)
    labels = [part["labels"].ge(0).sum().item() for share in shares for part in share.parts if isinstance(part, dict)]
    assert sum(labels) == whole.counts[:2].sum()


def test_a_process_without_a_lesson_of_its_own_takes_part_with_nothing_to_learn(model: LoadedModel) -> None:
    own = samples(model)[4:5]
    share = StepCollator(model, 3, 10**6, rank=1, world=2)(own)
    loss, sums = Objective(model, torch.tensor([1.0, 0.5, KD]))(share.parts[0], share.counts)
    loss.backward()
    assert sums.tolist() == [0.0, 0.0, 0.0] and loss.item() == 0.0
    assert all(weight.grad is None or not weight.grad.any() for weight in model.plain.parameters())


@pytest.mark.parametrize(("tuning", "end_to_end"), [("full", True), ("lora", True), ("prompt", False)])
def test_a_wide_student_learns_without_padding_whatever_of_it_is_tuned_but_for_a_soft_prompt(
    tokenizer: Any, tuning: str, end_to_end: bool
) -> None:
    torch.manual_seed(1)
    wide = SIZES.model_copy(update={"width": 256})
    settings = toy_params().student.model_copy(update={"tuning": tuning, "model": "a-model"})
    student = loaded_model(tune(scratch_model(wide, len(tokenizer), 0.0), settings), tokenizer)
    step = StepCollator(student, 3, 10**6)(samples(student, weight=0.0))
    assert [isinstance(part, PackedBatch) for part in step.parts] == [end_to_end]
    loss, _ = Objective(student, torch.ones(3))(step.parts[0], step.counts)
    loss.backward()
    tuned = [weight for weight in student.wrapped.parameters() if weight.requires_grad]
    assert any(weight.grad is not None and weight.grad.any() for weight in tuned)
