"""A T5 over sequences laid end to end against its own forward pass, one sequence at a time: losses and gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.training.batching import collate, pack_examples
from tinyllm.training.examples import Example, target_counts
from tinyllm.training.objective import Objective

RNG = np.random.default_rng(5)
WEIGHTS = torch.tensor([1.0, 0.5, 2.0])


def ids(count: int) -> np.ndarray:
    return RNG.integers(2, 90, count).astype(np.int32)


START = np.array([0], dtype=np.int32)
SHARED = ids(33)
EXAMPLES = [
    *[
        Example(i % 3, ids(s), START, ids(t), weight=1 - i / 10)
        for i, (s, t) in enumerate([(3, 2), (9, 2), (9, 8), (150, 5), (31, 17), (5, 40)])
    ],
    *[Example(i, SHARED, np.concatenate([START, ids(2 + i)]), ids(4 + 9 * i)) for i in range(3)],  # a shared encoder's
]


def model(gated: bool) -> Any:
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=90,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu" if gated else "relu",
        tie_word_embeddings=not gated,  # FLAN-T5 is gated and has an output layer of its own, T5 neither
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config).train()


def loaded(student: Any) -> LoadedModel:
    return loaded_model(student, SimpleNamespace(pad_token_id=0))


def gradients(student: Any) -> dict[str, torch.Tensor]:
    found = {name: weight.grad.clone() for name, weight in student.named_parameters()}
    student.zero_grad()
    return found


@pytest.mark.parametrize("gated", [False, True], ids=["T5", "FLAN-T5"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_end_to_end_the_loss_and_every_gradient_are_those_of_one_sequence_at_a_time(
    gated: bool, attention: str
) -> None:
    student = model(gated)
    student.set_attn_implementation(attention)
    counts = target_counts(EXAMPLES, 3)
    slow = torch.zeros(())
    for example in EXAMPLES:
        batch = collate([example], pad_id=0)
        logits = student(
            input_ids=batch["input_ids"], decoder_input_ids=batch["decoder_input_ids"], use_cache=False
        ).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"][0], reduction="sum")
        slow = slow + example.weight * WEIGHTS[example.task] / counts[example.task] * loss
    slow.backward()
    expected = gradients(student)

    loss, sums = Objective(loaded(student), WEIGHTS)(pack_examples(EXAMPLES), counts)
    loss.backward()
    assert loss.item() == pytest.approx(slow.item(), abs=1e-4)
    assert (WEIGHTS * sums / counts).sum().item() == pytest.approx(slow.item(), abs=1e-4)
    for name, found in gradients(student).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 0.1  # so that 1e-5 says something


def test_padded_and_end_to_end_agree_on_shared_encoders_too() -> None:
    student, counts = model(False), target_counts(EXAMPLES, 3)
    objective = Objective(loaded(student), WEIGHTS)
    padded, sums = objective(collate(EXAMPLES, pad_id=0), counts)
    padded.backward()
    expected = gradients(student)
    packed, own = objective(pack_examples(EXAMPLES), counts)
    packed.backward()
    assert packed.item() == pytest.approx(padded.item(), abs=1e-4)
    torch.testing.assert_close(own, sums, rtol=1e-5, atol=1e-4)
    for name, found in gradients(student).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_in_bfloat16_the_loss_is_the_same_to_two_digits() -> None:
    student, counts = model(False), target_counts(EXAMPLES, 3)
    exact, _ = Objective(loaded(student), WEIGHTS)(pack_examples(EXAMPLES), counts)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = Objective(loaded(student), WEIGHTS)(pack_examples(EXAMPLES), counts)
    rounded.backward()
    assert rounded.item() == pytest.approx(exact.item(), rel=1e-2)
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in student.parameters())


def test_dropout_is_on_in_training_alone() -> None:
    student, counts = model(False), target_counts(EXAMPLES, 3)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    part, objective = pack_examples(EXAMPLES), Objective(loaded(student), WEIGHTS)
    assert objective(part, counts)[0].item() != objective(part, counts)[0].item()
    student.eval()
    assert objective(part, counts)[0].item() == objective(part, counts)[0].item()
