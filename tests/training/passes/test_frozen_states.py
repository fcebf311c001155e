"""The lower half of a student whose upper layers are trained: the same states, kept and read back bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.toys import SIZES, toy_params, toy_questions, toy_rows, toy_tokenizer
from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.student.build import scratch_model
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.tuning import tune
from tinyllm.training.examples import Task, encode_corpus
from tinyllm.training.objective import Objective
from tinyllm.training.passes.frozen_states import FrozenStates, frozen_states
from tinyllm.training.step_collator import StepCollator, TrainingSample
from tinyllm.training.train import Trained, train_student

TASKS = [Task("answer", "predict: ", 1.0), Task("ann", "explain as ann: ", 0.5), Task("bob", "explain as bob: ", 2.0)]
ROWS = toy_rows(toy_questions(6), "ann", "bob")
UPPER = {"student__tuning": "upper", "student__upper": {"learning_rate": 0.01, "layers": 1}}
TWO = SIZES.model_copy(update={"architecture": "causal", "layers": 2})
STATE = 16 * 4  # bytes of a token's: a width of 16, in float32


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def student(tokenizer: Any, dropout: float = 0.0, **changes: Any) -> LoadedModel:
    params = toy_params(**(UPPER | changes))
    torch.manual_seed(1)
    return loaded_model(tune(scratch_model(TWO, len(tokenizer), dropout), params.student), tokenizer)


def passes(model: LoadedModel, shared: bool) -> Any:
    reader = InputEncoder(toy_params(student__shared_encoder=shared).student, model)
    examples, _ = encode_corpus(ROWS, TASKS, reader)
    samples = [TrainingSample(row["id"], own) for row, own in zip(ROWS, examples, strict=True)]
    return StepCollator(model, len(TASKS), 10**6)(samples)


def halves(model: LoadedModel, cache: Path | None = None, gigabytes: float = 1.0) -> FrozenStates:
    found = frozen_states(model, cache, gigabytes)
    assert found is not None
    return found


def gradients(model: LoadedModel, step: Any, frozen: FrozenStates | None) -> dict[str, Tensor]:
    objective = Objective(model, torch.tensor([task.weight for task in TASKS]), frozen=frozen)
    model.plain.zero_grad()
    for part in step.parts:
        objective(part, step.counts)[0].backward()
    return {name: weight.grad.clone() for name, weight in model.plain.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("shared", [False, True])
def test_both_halves_do_what_the_whole_does(tokenizer: Any, shared: bool) -> None:
    model = student(tokenizer)
    step = passes(model, shared)
    whole, halved = gradients(model, step, None), gradients(model, step, halves(model))
    assert whole.keys() == halved.keys()
    assert all(name.startswith("model.layers.1.") for name in whole)  # of two layers
    for name, gradient in whole.items():
        torch.testing.assert_close(halved[name], gradient, rtol=1e-4, atol=1e-6)
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_read_back_is_what_is_computed_bit_for_bit(tokenizer: Any, tmp_path: Path, shared: bool) -> None:
    model = student(tokenizer)
    step = passes(model, shared)
    computed, first, again = halves(model), halves(model, tmp_path), halves(model, tmp_path)
    again.lower = torch.nn.Identity()  # it could compute nothing
    for part in step.parts:
        torch.testing.assert_close(first.hidden(part), computed.hidden(part), rtol=0, atol=0)
        torch.testing.assert_close(again.hidden(part), computed.hidden(part), rtol=0, atol=0)


def test_a_row_has_the_same_states_in_another_batch(tokenizer: Any, tmp_path: Path) -> None:
    model = student(tokenizer)
    whole = halves(model, tmp_path)
    (many,) = passes(model, shared=True).parts
    for row in range(len(many["lengths"])):
        length = int(many["lengths"][row])
        alone = {name: value[row : row + 1] for name, value in many.items()}
        expected = halves(model)._row(alone, 0, length)
        assert torch.equal(whole._row(many, row, length), expected)


def test_no_more_is_kept_than_there_is_room_for(tokenizer: Any, tmp_path: Path) -> None:
    model = student(tokenizer)
    (part,) = passes(model, shared=True).parts
    lengths = part["lengths"].tolist()
    room = (lengths[0] + lengths[1]) * STATE + 400  # each file has a head of some hundred bytes
    states = halves(model, tmp_path, gigabytes=room / 1e9)
    states.hidden(part)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.safetensors")]
    assert len(sizes) == 2
    assert states.room == pytest.approx(room - sum(sizes))
    assert halves(model, tmp_path, gigabytes=room / 1e9).room == pytest.approx(room - sum(sizes))


def test_states_that_are_broken_are_computed_anew(tokenizer: Any, tmp_path: Path) -> None:
    model = student(tokenizer)
    (part,) = passes(model, shared=True).parts
    expected = halves(model, tmp_path).hidden(part)
    for path, content in zip(tmp_path.rglob("*.safetensors"), [b"", b"x" * 100], strict=False):
        path.write_bytes(content)
    assert torch.equal(halves(model, tmp_path).hidden(part), expected)


def test_other_weights_below_have_other_states(tokenizer: Any, tmp_path: Path) -> None:
    model, other = student(tokenizer), student(tokenizer)
    with torch.no_grad():
        other.plain.model.layers[0].mlp.up_proj.weight.add_(0.1)
    (part,) = passes(model, shared=True).parts
    first, second = halves(model, tmp_path).hidden(part), halves(other, tmp_path).hidden(part)
    assert torch.equal(second, halves(other).hidden(part))
    assert not torch.equal(first, second)
    with torch.no_grad():  # what is trained shapes no state below it
        model.plain.model.layers[1].mlp.up_proj.weight.add_(0.1)
    assert halves(model, tmp_path).folder == halves(student(tokenizer), tmp_path).folder


def test_what_trains_below_or_draws_by_chance_is_not_halved(tokenizer: Any) -> None:
    assert frozen_states(student(tokenizer, student__tuning="full"), None, 1.0) is None
    assert frozen_states(student(tokenizer, student__tuning="lora"), None, 1.0) is None
    assert frozen_states(student(tokenizer, dropout=0.1), None, 1.0) is None
    assert frozen_states(student(tokenizer, student__upper={"learning_rate": 0.01, "layers": 2}), None, 1.0) is None


def trained(folder: Path, cache: Path | None, gigabytes: float, seed: int = 1) -> Trained:
    folder.mkdir()
    causal = {"student__scratch": TWO.model_dump(), "student__shared_encoder": True, "train__dropout": 0.0}
    params = toy_params(**UPPER, **causal, runtime__frozen_cache_gb=gigabytes)
    return train_student(params, seed, toy_rows(toy_questions(12), "ann", "bob"), toy_questions(4), folder, cache=cache)


def test_a_training_ends_with_the_same_weights_whether_states_are_kept_or_not(tmp_path: Path) -> None:
    without = trained(tmp_path / "without", tmp_path / "none", 0.0)
    first = trained(tmp_path / "first", tmp_path / "cache", 1.0)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}
    again = trained(tmp_path / "again", tmp_path / "cache", 1.0)
    assert not (tmp_path / "none").exists()
    assert len(kept) == 12  # a row a question, which both epochs share
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}
    for other in (first, again):
        weights = zip(without.model.plain.parameters(), other.model.plain.parameters(), strict=True)
        assert all(torch.equal(one, two) for one, two in weights)
        assert other.metrics == without.metrics
