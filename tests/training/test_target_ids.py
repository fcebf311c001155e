"""What each student.target teaches under each prefix: the ids, where a label is foretold, and what is cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.toys import toy_causal, toy_model, toy_params
from tinyllm.models.loaded import IGNORED, LoadedModel, loaded_model
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.vocabulary import train_tokenizer
from tinyllm.training.batching import collate, pack_examples
from tinyllm.training.examples import Example, encode_corpus, target_counts
from tinyllm.training.objective import Objective
from tinyllm.training.step_collator import StepCollator, TrainingSample
from tinyllm.training.target_ids import teacher_targets
from tinyllm.training.train import tasks_of, vocabulary_texts

TARGETS = ("multitask", "rationale_then_answer", "answer_then_rationale")
SOUGHT = "Is it red or blue?"
ROWS = [
    {
        "id": "1",
        "context": "",
        "input": SOUGHT,
        "targets": {"answer": "red", "ann": "We see it. So the answer is red.", "bob": "It is so."},
    },
    {"id": "2", "context": "We see it.", "input": SOUGHT, "targets": {"answer": "blue", "ann": "It is blue."}},
    {"id": "3", "context": "", "input": SOUGHT, "targets": {"answer": "so"}},
    {"id": "4", "context": "", "input": SOUGHT, "targets": {"bob": "It is so."}},  # a question without an answer
]
WRITTEN = {  # by target: of every question's tasks, the text
    "multitask": [
        {0: "red", 1: "We see it. So the answer is red.", 2: "It is so."},
        {0: "blue", 1: "It is blue."},
        {0: "so"},
        {2: "It is so."},
    ],
    "rationale_then_answer": [
        {1: "We see it. The answer is red", 2: "It is so. The answer is red"},
        {1: "It is blue. The answer is blue"},
        {},
        {},
    ],
    "answer_then_rationale": [
        {0: "red", 1: "The answer is red. We see it. So the answer is red.", 2: "The answer is red. It is so."},
        {0: "blue", 1: "The answer is blue. It is blue."},
        {0: "so"},
        {},
    ],
}
PREFIXES = ("predict: ", "explain as ann: ", "explain as bob: ")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """It has every word of the rows as one piece."""
    texts = [
        f"{prefix}{SOUGHT} Answer: We see it. It is so. So the answer is red. The answer is blue."
        for prefix in PREFIXES
    ]
    return train_tokenizer(texts * 30, 120, tmp_path_factory.mktemp("vocabulary"))


def student(tokenizer: Any, kind: str) -> LoadedModel:
    return loaded_model(toy_model(tokenizer) if kind == "T5" else toy_causal(tokenizer), tokenizer)


def encoded(model: LoadedModel, target: str, shared: bool, **changes: Any) -> list[list[Example]]:
    params = toy_params(student__target=target, student__shared_encoder=shared, **changes)
    tasks = tasks_of(("ann", "bob"), params.loss, params.student.answer_prefix, params.student.rationale_prefix, target)
    return encode_corpus(ROWS, tasks, InputEncoder(params.student, model))[0]


# --- the text, token for token --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared"])
@pytest.mark.parametrize("kind", ["T5", "Llama"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_task_foretells_its_whole_text_and_no_token_of_the_prompt(
    tokenizer: Any, target: str, kind: str, shared: bool
) -> None:
    model = student(tokenizer, kind)
    questions = encoded(model, target, shared)
    assert [{example.task for example in question} for question in questions] == [set(w) for w in WRITTEN[target]]
    for row, question, texts in zip(ROWS, questions, WRITTEN[target], strict=True):
        for example in question:
            labels = [*tokenizer(texts[example.task], add_special_tokens=False)["input_ids"], 1]
            assert example.labels.tolist() == labels and example.weight == 1.0
            assert example.decoder_labels().tolist() == [IGNORED] * (len(example.prompt) - 1) + labels
            read = tokenizer.decode([*example.source, *example.prompt]).replace("<pad>", "").replace("</s>", " ")
            seen = [part for part in (row["context"], SOUGHT) if part]
            prefix, response = PREFIXES[example.task].strip(), [] if kind == "T5" or shared else ["Answer:"]
            expected = [*seen, prefix] if shared else [prefix, *seen, *response]
            assert " ".join(read.split()) == " ".join(expected)


def test_the_sequences_are_these_tokens(tokenizer: Any) -> None:
    answers = {}
    for target in TARGETS:
        ann = next(e for e in encoded(student(tokenizer, "Llama"), target, shared=True)[0] if e.task == 1)
        answers[target] = " ".join(tokenizer.convert_ids_to_tokens(ann.labels.tolist()))
        assert tokenizer.convert_ids_to_tokens(ann.prompt[ann.shared :].tolist()) == ["▁explain", "▁as", "▁ann", ":"]
    assert answers == {
        "multitask": "▁We ▁see ▁it . ▁So ▁the ▁answer ▁is ▁red . </s>",
        "rationale_then_answer": "▁We ▁see ▁it . ▁The ▁answer ▁is ▁red </s>",
        "answer_then_rationale": "▁The ▁answer ▁is ▁red . ▁We ▁see ▁it . ▁So ▁the ▁answer ▁is ▁red . </s>",
    }


def test_a_vocabulary_is_learnt_from_the_texts_that_are_written() -> None:
    loss = toy_params().loss
    tasks = tasks_of(("ann",), loss, "predict: ", "as {teacher}: ", "rationale_then_answer")
    assert [task.weight for task in tasks] == [0.0, 0.5]
    assert vocabulary_texts(ROWS[:1], tasks, "rationale_then_answer") == [
        f"\n{SOUGHT}\nred\nWe see it. The answer is red",
        "as ann: ",  # nothing is asked under the answer's prefix
    ]
    tasks = tasks_of(("ann",), loss, "predict: ", "as {teacher}: ", "answer_then_rationale")
    assert vocabulary_texts(ROWS[1:2], tasks, "answer_then_rationale") == [
        f"We see it.\n{SOUGHT}\nblue\nThe answer is blue. It is blue.",
        "predict: ",
        "as ann: ",
    ]


# --- what is too long -----------------------------------------------------------------------------------------------

LONG = "We see it. It is so. We see it. So the answer is red."


@pytest.mark.parametrize(
    ("target", "limit", "text", "cut"),
    [
        # 12 of the rationale without its conclusion, 4 of the answer's, 1 of the end
        ("rationale_then_answer", 17, "We see it. It is so. We see it. The answer is red</s>", 0),
        ("rationale_then_answer", 16, "We see it. It is so. We see The answer is red</s>", 1),
        ("rationale_then_answer", 9, "We see it. The answer is red</s>", 1),
        ("rationale_then_answer", 5, "The answer is red</s>", 1),
        ("rationale_then_answer", 2, "The answer is red</s>", 1),  # never without the answer
        ("answer_then_rationale", 12, "The answer is red. We see it. It is so", 1),
        ("multitask", 9, "We see it. It is so. We", 1),
    ],
)
@pytest.mark.parametrize("kind", ["T5", "Llama"])
def test_what_is_too_long_loses_of_the_rationale_and_never_the_answer_behind_it(
    tokenizer: Any, kind: str, target: str, limit: int, text: str, cut: int
) -> None:
    params, cuts = toy_params(student__target=target, student__max_target_tokens=limit), TruncationCounts()
    reader = InputEncoder(params.student, student(tokenizer, kind))
    (ids,) = teacher_targets(reader, [LONG], ["red"], cuts)
    assert tokenizer.decode(ids.tolist()) == text
    assert cuts == TruncationCounts(targets_cut=cut)


def test_a_text_without_spaces_is_cut_within(tokenizer: Any) -> None:
    params, cuts = (
        toy_params(student__target="rationale_then_answer", student__max_target_tokens=60),
        TruncationCounts(),
    )
    reader = InputEncoder(params.student, student(tokenizer, "T5"))
    (ids,) = teacher_targets(reader, ["so" * 60], ["red"], cuts)
    text = tokenizer.decode(ids.tolist())
    assert text.startswith("so" * 12) and text.endswith(" The answer is red</s>") and len(ids) <= 60
    assert cuts == TruncationCounts(targets_cut=1)


# --- the loss, however it is computed -------------------------------------------------------------------------------


def losses(model: LoadedModel, parts: list[Any], counts: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the step's losses summed by task, and every weight's gradient."""
    objective, total = Objective(model, torch.tensor([1.0, 0.5, 2.0])), torch.zeros(3)
    model.plain.zero_grad()
    for part in parts:
        loss, sums = objective(part, counts)
        loss.backward()
        total += sums
    return total, {name: weight.grad.clone() for name, weight in model.plain.named_parameters()}


def slow_losses(model: LoadedModel, examples: list[Example]) -> torch.Tensor:
    """Each example by itself: the negative log-likelihoods of its labels, one after the other, summed by task."""
    total = torch.zeros(3)
    for example in examples:
        read = torch.from_numpy(example.decoder_ids()).long()[None]
        if model.causal:
            logits = model.plain(input_ids=read).logits[0]
        else:
            source = torch.from_numpy(example.source).long()[None]
            logits = model.plain(input_ids=source, decoder_input_ids=read).logits[0]
        behind = logits[len(example.prompt) - 1 :].log_softmax(dim=-1)
        total[example.task] -= sum(row[label] for row, label in zip(behind, example.labels.tolist(), strict=True))
    return total.detach()


@pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_packed_t5_has_the_losses_of_padded_rows(tokenizer: Any, target: str, shared: bool) -> None:
    model = student(tokenizer, "T5")
    examples = [example for question in encoded(model, target, shared) for example in question]
    counts = target_counts(examples, 3)
    padded, expected = losses(model, [collate(examples, model.pad_id)], counts)
    packed, gradients = losses(model, [pack_examples(examples)], counts)
    torch.testing.assert_close(packed, padded, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(padded, slow_losses(model, examples), rtol=1e-5, atol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("target", TARGETS)
def test_a_tree_has_the_losses_of_a_row_a_task(tokenizer: Any, target: str) -> None:
    model = student(tokenizer, "Llama")
    questions = [question for question in encoded(model, target, shared=True) if question]
    samples = [TrainingSample(str(i), question) for i, question in enumerate(questions)]
    found = []
    for trees in (True, False):
        collator = StepCollator(model, 3, 4096)
        collator.trees = trees
        step = collator(samples)
        assert ("position_ids" in step.parts[0]) == trees
        found.append(losses(model, step.parts, step.counts))
    (tree, gradients), (rows, expected) = found
    torch.testing.assert_close(tree, rows, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(rows, slow_losses(model, [e for q in questions for e in q]), rtol=1e-5, atol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_every_token_of_a_sequence_counts_alike(tokenizer: Any) -> None:
    model = student(tokenizer, "T5")
    examples = [example for question in encoded(model, "rationale_then_answer", False) for example in question]
    counts = target_counts(examples, 3)
    assert counts.tolist() == [0.0, 9.0 + 9.0, 9.0]  # tokens, ends included; ann has two sequences
    sums = slow_losses(model, examples)
    loss, _ = Objective(model, torch.tensor([0.0, 0.5, 2.0]))(collate(examples, model.pad_id), counts)
    assert loss.item() == pytest.approx(0.5 * sums[1].item() / 18 + 2.0 * sums[2].item() / 9, abs=1e-4)
