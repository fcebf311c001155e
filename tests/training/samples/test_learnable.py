"""The selection `learnable` against likelihoods that are computed one text after another, and what its cache holds."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toys import SIZES, toy_causal, toy_model, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import IGNORED, LoadedModel, loaded_model
from tinyllm.records import read_json, write_json
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.folder import save_student
from tinyllm.student.tuning import tune
from tinyllm.training.examples import Example, Task, encode_corpus, targets_of
from tinyllm.training.samples.learnable import LearnableSelection
from tinyllm.training.train import Trained, train_student

TRAIN, VALID = toy_questions(10, seed=1, split="train"), toy_questions(10, seed=2, split="valid")
TASKS = [
    Task("answer", "predict: ", 1.0),
    Task("ann", "explain as ann: ", 0.5),
    Task("bob", "explain as bob it is: ", 2.0),
]


def corpus() -> list[dict]:
    """Ann has four rationales of each question, of unlike words and lengths, bob has two of some."""
    rows = toy_rows(TRAIN, "ann", "bob")
    for i, row in enumerate(rows):
        gold = row["targets"]["answer"]
        texts = [
            f"{gold} " * (1 + i % 3),
            f"It was late. A {gold} dog sits in town.",
            "so so so it is",
            "river by the hill",
        ]
        row["alternatives"] = {"ann": texts[i % 2 :][:3]} | ({"bob": [f"We met {gold}, at home"]} if i % 4 == 1 else {})
    return rows


ROWS = corpus()


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "seq2seq": (toy_model, {}),
    "seq2seq, shared": (toy_model, {"student__shared_encoder": True}),
    "causal": (toy_causal, {}),
    "causal, shared": (toy_causal, {"student__shared_encoder": True}),
}


def student(tokenizer: Any, kind: str) -> tuple[LoadedModel, InputEncoder]:
    make, changes = KINDS[kind]
    model = loaded_model(make(tokenizer, dropout=0.5).train(), tokenizer)
    return model, InputEncoder(toy_params(**changes).student, model)


@torch.no_grad()
def slow_likelihood(model: LoadedModel, example: Example, target: np.ndarray) -> float:
    """The model's own loss is the mean over a target's tokens."""
    model.plain.eval()
    prompt, ids = torch.tensor(example.prompt.tolist()), torch.tensor(target.tolist())
    if model.causal:
        labels = torch.cat([torch.full_like(prompt, IGNORED), ids])
        loss = model.plain(input_ids=torch.cat([prompt, ids])[None], labels=labels[None]).loss
    else:
        labels = torch.cat([torch.full_like(prompt[1:], IGNORED), ids])
        fed = torch.cat([prompt, ids[:-1]])
        source = torch.tensor(example.source.tolist())
        loss = model.plain(input_ids=source[None], decoder_input_ids=fed[None], labels=labels[None]).loss
    model.plain.train()
    return -float(loss)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 2])
def test_of_each_teachers_rationales_the_likeliest_are_kept(tokenizer: Any, kind: str, most: int) -> None:
    model, reader = student(tokenizer, kind)
    examples, _ = encode_corpus(ROWS, TASKS, reader, None)
    selection = LearnableSelection(model, most, batch_tokens=300)
    chosen = selection(examples)
    places = []
    for question, kept in zip(examples, chosen, strict=True):
        assert [example.task for example in question] == [example.task for example in kept]
        for before, after in zip(question, kept, strict=True):
            targets = [before.labels, *before.alternatives]
            values = [slow_likelihood(model, before, target) for target in targets]
            best = sorted(sorted(range(len(targets)), key=lambda i: -values[i])[:most])
            expected = [targets[i].tolist() for i in best]
            assert [ids.tolist() for ids in (after.labels, *after.alternatives)] == expected
            if len(targets) > most:
                places.append(best[0])
                assert np.diff(sorted(values)).min() > 1e-5, "so that the choice is no matter of rounding"
    assert len(set(places)) > 1
    ann, bob = 40, sum(2 for row in ROWS if "bob" in row["alternatives"] and "bob" in row["targets"])
    assert bob == 6 and selection.measured == ann + (bob if most == 1 else 0)  # where all are kept nothing is measured
    assert model.wrapped.training  # its dropout is on again


def test_of_equal_ones_the_first_is_kept(tokenizer: Any) -> None:
    model, reader = student(tokenizer, "seq2seq")
    row = ROWS[0] | {"targets": {"answer": "red", "ann": "so it is"}, "alternatives": {"ann": ["so it is", "so it is"]}}
    examples, _ = encode_corpus([row], TASKS, reader, None)
    ((_, kept),) = LearnableSelection(model, 2, 300)(examples)
    assert kept.labels is examples[0][1].labels and kept.alternatives == examples[0][1].alternatives[:1]


# --- the cache ------------------------------------------------------------------------------------------------------


def kept_labels(model: LoadedModel, examples: list[list[Example]], cache: Path) -> list[list[int]]:
    chosen = LearnableSelection(model, 1, 300, cache)(examples)
    return [example.labels.tolist() for question in chosen for example in question]


def test_what_was_measured_is_not_measured_again(tokenizer: Any, tmp_path: Path) -> None:
    model, reader = student(tokenizer, "seq2seq")
    examples, _ = encode_corpus(ROWS, TASKS, reader, None)
    cache = tmp_path / "cache" / "learnable"
    first = kept_labels(model, examples, cache)
    files = sorted(cache.iterdir())
    assert len(files) == 2 and stat.S_IMODE(cache.stat().st_mode) == 0o700  # one a teacher
    assert kept_labels(model, examples, cache) == first and sorted(cache.iterdir()) == files
    for path in files:  # what is in the cache counts: turned round, it is the unlikeliest that is kept
        values = read_json(path)["values"]
        write_json(path, {"values": [[-value for value in several] for several in values]})
    turned = kept_labels(model, examples, cache)
    assert turned != first and kept_labels(model, examples, tmp_path / "another") == first


def test_another_student_prefix_or_text_is_measured_anew(tokenizer: Any, tmp_path: Path) -> None:
    model, reader = student(tokenizer, "seq2seq")
    examples, _ = encode_corpus(ROWS, TASKS, reader, None)
    kept_labels(model, examples, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    kept_labels(loaded_model(toy_model(tokenizer, seed=2), tokenizer), examples, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    prefixed = [TASKS[0], Task("ann", "as ann: ", 0.5), TASKS[2]]
    kept_labels(model, encode_corpus(ROWS, prefixed, reader, None)[0], tmp_path)
    assert len(list(tmp_path.iterdir())) == 5
    rows = [ROWS[0] | {"alternatives": {"ann": ["so it is"]}}, *ROWS[1:]]
    kept_labels(model, encode_corpus(rows, TASKS, reader, None)[0], tmp_path)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_new_adapter_is_the_student_without_one(tokenizer: Any, tmp_path: Path) -> None:
    settings = toy_params(student__tuning="lora").student
    for seed in (1, 2):
        model = toy_model(tokenizer)
        torch.manual_seed(seed)  # an adapter's first factor is random
        tuned = loaded_model(tune(model, settings), tokenizer)
        kept_labels(tuned, encode_corpus(ROWS, TASKS, InputEncoder(settings, tuned), None)[0], tmp_path)
        assert len(list(tmp_path.iterdir())) == 2


# --- whole runs -----------------------------------------------------------------------------------------------------


def run(folder: Path, rows: list[dict], cache: Path | None = None, seed: int = 1, **changes: Any) -> Trained:
    folder.mkdir(exist_ok=True)
    return train_student(toy_params(**changes), seed, rows, VALID, folder, cache=cache)


def same_weights(first: Trained, second: Trained) -> bool:
    left, right = first.model.plain.state_dict(), second.model.plain.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("samples", [1, 2])
def test_a_training_learns_what_its_student_found_likeliest_before_the_first_step(
    tokenizer: Any, tmp_path: Path, samples: int
) -> None:
    start = loaded_model(toy_model(tokenizer), tokenizer)
    save_student(start, tmp_path / "start", max_new_tokens=4)
    changes = {
        "student__origin": "local",
        "student__model": str(tmp_path / "start"),
        "student__scratch": SIZES.model_dump(),
        "corpus__samples": samples,
    }
    learnt = run(tmp_path / "learnable", ROWS, tmp_path / "cache", corpus__selection="learnable", **changes)

    reader = InputEncoder(toy_params().student, start)
    chosen = []
    for row in ROWS:
        row = row | {"targets": dict(row["targets"]), "alternatives": {}}
        for name in [name for name in row["targets"] if name != "answer"]:
            original = next(other for other in ROWS if other["id"] == row["id"])
            texts = targets_of(original, name, None)
            task = next(task for task in TASKS if task.name == name)
            prefix = f"explain as {name}: "
            alone = [{**original, "targets": {name: text}, "alternatives": {}} for text in texts]
            encoded, _ = encode_corpus(alone, [Task(name, prefix, task.weight)], reader)
            values = [slow_likelihood(start, example, example.labels) for (example,) in encoded]
            best = sorted(sorted(range(len(texts)), key=lambda i, v=values: -v[i])[:samples])
            row["targets"][name], *row["alternatives"][name] = [texts[i] for i in best]
        chosen.append(row)
    plain = run(tmp_path / "plain", chosen, **changes)
    assert same_weights(learnt, plain) and learnt.curve == plain.curve
    bobs = sum("bob" in row["targets"] for row in ROWS)
    pairs = sum("bob" in row["targets"] and "bob" in row["alternatives"] for row in ROWS)
    kept = 10 + bobs if samples == 1 else 20 + bobs + pairs
    measured = 40 + 2 * pairs if samples == 1 else 40
    assert (learnt.metrics["rationales"], learnt.metrics["rationales_measured"]) == (kept, measured)

    again = run(tmp_path / "again", ROWS, tmp_path / "cache", seed=2, corpus__selection="learnable", **changes)
    assert again.metrics["rationales_measured"] == measured
    assert len(list((tmp_path / "cache/learnable").iterdir())) == (
        2 if samples == 1 else 1
    )  # another seed measures nothing
