"""A T5 over sequences laid end to end against its own forward pass, one sequence at a time: losses and gradients."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import T5Config, T5ForConditionalGeneration

from tinyllm.models.loaded import LoadedModel, loaded_model
from tinyllm.training.batching import collate, pack_examples
from tinyllm.training.examples import Example, target_counts
from tinyllm.training.objective import Objective
from tinyllm.training.passes.packed_t5 import GROUP_TOKENS, match_sources, pack

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


# --- where the sequences lie: every token has its place, and no other grouping would cost less -----------------------

lengths_of = st.lists(st.integers(1, 40), min_size=1, max_size=9)


def cost(lengths: list[int], cuts: tuple[int, ...]) -> int:
    """Places and groups' fixed costs where the sorted lengths are cut so."""
    bounds = [0, *cuts, len(lengths)]
    groups = [sorted(lengths)[first:last] for first, last in zip(bounds, bounds[1:], strict=False)]
    return sum(len(group) * max(group) + GROUP_TOKENS for group in groups)


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of)
def test_no_way_to_cut_into_groups_costs_less(lengths: list[int]) -> None:
    inner = range(1, len(lengths))
    best = min(cost(lengths, cuts) for n in range(len(lengths)) for cuts in combinations(inner, n))
    layout = pack(lengths)
    assert layout.places + GROUP_TOKENS * len(layout.groups) == best


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of)
def test_every_token_has_a_place_of_its_own_and_the_rest_is_marked_as_padding(lengths: list[int]) -> None:
    layout = pack(lengths)
    arrays = [np.arange(length) + 100 * (i + 1) for i, length in enumerate(lengths)]
    filled = layout.fill(arrays, -1).tolist()
    for start, array in zip(layout.starts, arrays, strict=True):
        assert filled[start : start + len(array)] == array.tolist()
    padded = [
        bool(place)
        for group in layout.groups
        for place in (group.padded.flatten() if group.padded is not None else [False] * group.places)
    ]
    assert padded == [value == -1 for value in filled]


def test_like_lengths_share_a_group_and_a_few_tokens_of_padding_are_cheaper_than_a_group() -> None:
    assert [(group.count, group.length) for group in pack([30, 5, 5, 6, 90]).groups] == [(3, 6), (1, 30), (1, 90)]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), sources=lengths_of)
def test_every_target_finds_its_own_source_word_for_word(data: st.DataObject, sources: list[int]) -> None:
    of = data.draw(st.lists(st.integers(0, len(sources) - 1), min_size=1, max_size=9))
    targets = [data.draw(st.integers(1, 40)) for _ in of]
    source, target = pack(sources), pack(targets)
    words = source.fill([np.arange(n) + 100 * (i + 1) for i, n in enumerate(sources)], -1)
    matched = match_sources(target, source, of, sources)
    found = iter(words[matched.places].tolist())
    which = iter(target.order)
    for group, seen in zip(target.groups, matched.groups, strict=True):
        assert group.count == seen.count
        for row in range(seen.count):
            own = of[next(which)]
            read = [next(found) for _ in range(seen.length)]
            kept = (
                read
                if seen.padded is None
                else [r for r, p in zip(read, seen.padded[row].tolist(), strict=True) if not p]
            )
            assert kept == [100 * (own + 1) + i for i in range(sources[own])]
