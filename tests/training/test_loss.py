"""The objective's terms against sums written out, and its parts against the whole."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.models.loaded import IGNORED
from tinyllm.training import loss as loss_module
from tinyllm.training.loss import output_loss, row_losses, task_sums, weighted_loss


def test_a_rows_loss_is_the_sum_of_its_tokens_and_padding_adds_nothing() -> None:
    # softmax of (0, log 3) is (1/4, 3/4); of equal logits it is (1/2, 1/2)
    sure = [0.0, math.log(3)]
    logits = torch.tensor([[sure, sure, [5.0, 5.0]], [sure, [9.0, -9.0], [-9.0, 9.0]]])
    labels = torch.tensor([[1, 0, 0], [0, IGNORED, IGNORED]])
    expected = [-math.log(3 / 4) - math.log(1 / 4) - math.log(1 / 2), -math.log(1 / 4)]
    assert row_losses(logits, labels).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_row_of_nothing_but_padding_has_no_loss() -> None:
    assert row_losses(torch.randn(1, 3, 4), torch.full((1, 3), IGNORED)).tolist() == [0.0]


def test_half_precision_logits_are_summed_in_single_precision() -> None:
    losses = row_losses(torch.zeros(1, 300, 7, dtype=torch.bfloat16), torch.zeros(1, 300, dtype=torch.long))
    assert losses.dtype == torch.float32
    assert losses.item() == pytest.approx(300 * math.log(7), rel=1e-5)


def test_rows_are_summed_by_their_task() -> None:
    sums = task_sums(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0, 2, 0, 2]), 4)
    assert sums.tolist() == [5.0, 0.0, 10.0, 0.0]


def test_the_objective_is_the_weighted_sum_of_means_over_tokens() -> None:
    loss = weighted_loss(torch.tensor([6.0, 30.0, 8.0]), torch.tensor([3.0, 10.0, 4.0]), torch.tensor([1.0, 0.5, 0.1]))
    assert loss.item() == pytest.approx(1.0 * 2 + 0.5 * 3 + 0.1 * 2)


def test_a_task_without_a_token_adds_nothing_and_divides_by_nothing() -> None:
    loss = weighted_loss(torch.tensor([6.0, 0.0]), torch.tensor([3.0, 0.0]), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(2.0)


def test_a_hundred_token_rationale_weighs_no_more_than_a_one_word_answer() -> None:
    answer, rationale = torch.tensor([5.0, 0.0]), torch.tensor([0.0, 5.0 * 100])
    counts, weights = torch.tensor([1.0, 100.0]), torch.ones(2)
    assert weighted_loss(answer, counts, weights).item() == pytest.approx(5.0)
    assert weighted_loss(rationale, counts, weights).item() == pytest.approx(5.0)


rows = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 50, width=32), st.integers(1, 120)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(rows=rows, cuts=st.lists(st.integers(0, 12), max_size=4), order=st.randoms(use_true_random=False))
def test_the_parts_of_a_step_add_up_to_the_whole_however_it_is_split(rows: list, cuts: list, order) -> None:
    counts, weights = torch.zeros(3), torch.tensor([1.0, 0.5, 2.0])
    for task, _, tokens in rows:
        counts[task] += tokens
    whole = sum(  # the slow way: task by task, in plain numbers
        weight * sum(loss for task, loss, _ in rows if task == k) / max(1, sum(n for task, _, n in rows if task == k))
        for k, weight in enumerate((1.0, 0.5, 2.0))
    )
    order.shuffle(rows)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    total = 0.0
    for start, end in zip(edges, edges[1:], strict=False):
        part = rows[start:end]
        sums = task_sums(torch.tensor([loss for _, loss, _ in part]), torch.tensor([task for task, _, _ in part]), 3)
        total += weighted_loss(sums, counts, weights).item()
    assert total == pytest.approx(whole, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 512])
def test_the_output_layers_loss_taken_in_chunks_has_the_gradients_of_the_whole(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", chunk)
    torch.manual_seed(1)
    hidden, weight = torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    labels, scale = torch.randint(0, 11, (7,)), torch.rand(7)
    each = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none")
    (3 * (each * scale).sum()).backward()  # three times, so that what comes from outside is passed on
    expected = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    loss, own = output_loss(hidden, weight, labels, scale)
    (3 * loss).backward()
    torch.testing.assert_close(own, each.detach())
    assert loss.item() == pytest.approx((each * scale).sum().item(), abs=1e-5) and not own.requires_grad
    torch.testing.assert_close((hidden.grad, weight.grad), expected)


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_gets_no_gradient_and_the_other_the_same(frozen: str) -> None:
    torch.manual_seed(1)
    parts = {"hidden": torch.randn(7, 5), "weight": torch.randn(11, 5)}
    (learning,) = (part for name, part in parts.items() if name != frozen)
    learning.requires_grad_()
    labels, scale = torch.randint(0, 11, (7,)), torch.rand(7)
    each = torch.nn.functional.cross_entropy(parts["hidden"] @ parts["weight"].T, labels, reduction="none")
    (expected,) = torch.autograd.grad((each * scale).sum(), learning)
    output_loss(parts["hidden"], parts["weight"], labels, scale)[0].backward()
    torch.testing.assert_close(learning.grad, expected)
    assert parts[frozen].grad is None


def test_without_a_gradient_wanted_the_output_layers_loss_is_the_same() -> None:
    hidden, weight, labels = torch.randn(4, 3), torch.randn(6, 3), torch.tensor([0, 5, 2, 2])
    loss, each = output_loss(hidden, weight, labels, torch.ones(4))
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none")
    torch.testing.assert_close(each, expected)
    assert loss.item() == pytest.approx(expected.sum().item(), abs=1e-5)
