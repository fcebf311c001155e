"""What a process holds of a student that is dealt out, and that every way of tuning it ends as in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.tensor import DTensor

from tests.toys import SIZES, toy_params, toy_questions, toy_rows, toy_tokenizer
from tests.training.sharded.together import run_together
from tinyllm.models.loaded import loaded_model
from tinyllm.params.schema import Scratch
from tinyllm.student.build import scratch_model
from tinyllm.student.folder import save_student
from tinyllm.training.objective import Objective
from tinyllm.training.sharded.weights import gather, shard, whole_weights
from tinyllm.training.train import train_student

KINDS = ("seq2seq", "causal")
TOLERANCE = {"rtol": 2e-3, "atol": 2e-4}  # a dozen AdamW steps in float32
STEPS = {"train__epochs": 4, "train__eval_every": 2, "train__batch_size": 7, "train__dropout": 0.0}


def sizes(kind: str) -> Scratch:
    return Scratch.model_validate(SIZES.model_dump() | {"architecture": kind, "layers": 3})


def objective_of(kind: str, folder: Path) -> Objective:
    torch.manual_seed(1)
    tokenizer = toy_tokenizer(folder)
    model = loaded_model(scratch_model(sizes(kind), len(tokenizer), 0.0).eval(), tokenizer)
    return Objective(model, torch.ones(2))


def held(module: torch.nn.Module) -> int:
    """Bytes of all weights in this process."""
    weights = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in module.parameters()]
    return sum(weight.numel() * weight.element_size() for weight in weights)


def hold_and_read(kind: str, folder: Path) -> tuple[int, int, int, list[Any], bool]:
    """Return bytes before, dealt out and gathered; logits of the whole student; whether gathered weights are the old ones."""
    torch.distributed.init_process_group("gloo")
    first = torch.distributed.get_rank() == 0
    objective = objective_of(kind, folder / str(torch.distributed.get_rank()))
    before, old = held(objective), [weight.detach().clone() for weight in objective.parameters()]
    shard(objective, "cpu", 2, "fp32")
    dealt = held(objective)
    ids = torch.tensor([[5, 6, 7]])
    inputs = {"input_ids": ids} if kind == "causal" else {"input_ids": ids, "decoder_input_ids": ids}
    with whole_weights(objective), torch.no_grad():
        read = [objective.student(**inputs).logits.numpy() for _ in range(2)]  # the second reads what the first left
    assert held(objective) == dealt
    gather(objective, keep=first)
    same = (
        all(torch.equal(one, other) for one, other in zip(old, objective.parameters(), strict=True)) if first else True
    )
    return before, dealt, held(objective), read, same


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_process_holds_half_and_the_first_gets_all_at_the_end(tmp_path: Path, kind: str) -> None:
    one, other = run_together(tmp_path, hold_and_read, kind, tmp_path)
    plain = objective_of(kind, tmp_path / "plain")
    assert one[0] == held(plain)
    for rank in (one, other):
        assert rank[1] == pytest.approx(one[0] / 2, rel=0.02)  # rows that cannot be halved are filled up
        assert rank[4]
    assert one[2] == one[0] and other[2] == 0
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        logits = plain.student(ids, **({} if kind == "causal" else {"decoder_input_ids": ids})).logits
    for read in [*one[3], *other[3]]:
        np.testing.assert_allclose(read, logits.numpy(), rtol=1e-5, atol=1e-6)


def trained(checkpoint: str, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Train a student of a checkpoint; every process has a folder of its own, and only the first writes there."""
    train, valid = toy_questions(20, 1), toy_questions(8, 2)
    rows = toy_rows(train, "ann", "bob")
    for row, question in zip(rows, train, strict=True):
        shares = [
            0.7 if i == question.answer else 0.3 / (len(question.choices) - 1) for i in range(len(question.choices))
        ]
        row |= {"choices": list(question.choices), "option_probabilities": {"ann": shares}}
    start = {"student__origin": "local", "student__model": checkpoint, "student__scratch": None}
    result = train_student(toy_params(**start, **STEPS, **changes), 1, rows, valid, folder)
    weights = {name: weight.detach().numpy() for name, weight in result.model.wrapped.named_parameters()}
    return {"weights": weights, "looks": result.looks, "curve": result.curve}


CASES: list[tuple[str, dict[str, Any]]] = [
    ("seq2seq", {"student__tuning": "lora"}),
    ("seq2seq", {"runtime__recompute": True, "student__shared_encoder": True}),
    ("seq2seq", {"runtime__batch_tokens": 300}),  # a process has more passes than the other
    ("causal", {"student__tuning": "lora"}),
    ("causal", {"student__tuning": "upper"}),
    ("causal", {"student__tuning": "prompt"}),
    ("seq2seq", {"loss__kd": 0.5}),
    ("causal", {"runtime__recompute": True, "student__shared_encoder": True}),
]


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "changes"), CASES)
def test_every_way_of_tuning_ends_as_in_one_process(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    tokenizer = toy_tokenizer(tmp_path / "tokenizer")
    torch.manual_seed(1)
    model = scratch_model(sizes(kind), len(tokenizer), 0.0)
    save_student(loaded_model(model, tokenizer), tmp_path / "start", 8)
    changes = {"student__upper": {"learning_rate": 0.01, "layers": 2}, **changes}
    results = []
    (tmp_path / "one").mkdir()
    results.append(trained(str(tmp_path / "start"), tmp_path / "one", changes))
    (tmp_path / "two").mkdir()
    shared = changes | {"runtime__processes": 2, "runtime__shard": True}
    results.append(run_together(tmp_path, trained, str(tmp_path / "start"), tmp_path / "two", shared)[0])
    assert results[0]["weights"].keys() == results[1]["weights"].keys()
    for name, weight in results[0]["weights"].items():
        np.testing.assert_allclose(results[1]["weights"][name], weight, **TOLERANCE, err_msg=name)
    losses = [[row["loss"] for row in result["curve"]] for result in results]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.nightly
def test_rounded_weights_travel_and_the_student_still_learns(tmp_path: Path) -> None:
    tokenizer = toy_tokenizer(tmp_path / "tokenizer")
    torch.manual_seed(1)
    save_student(loaded_model(scratch_model(sizes("causal"), len(tokenizer), 0.0), tokenizer), tmp_path / "start", 8)
    (tmp_path / "two").mkdir()
    changes = {"runtime__processes": 2, "runtime__shard": True, "runtime__precision": "bf16"}
    result = run_together(tmp_path, trained, str(tmp_path / "start"), tmp_path / "two", changes)[0]
    assert {weight.dtype for weight in result["weights"].values()} == {np.dtype("float32")}
    (tmp_path / "one").mkdir()
    alone = trained(str(tmp_path / "start"), tmp_path / "one", {"runtime__precision": "bf16"})
    ends = [[row["loss"] for row in one["curve"]][-3:] for one in (result, alone)]
    np.testing.assert_allclose(ends[0], ends[1], rtol=0.1)
