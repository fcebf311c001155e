"""One forward pass of the objective, whatever the student: the scaled loss of a part, and its summed losses by task."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax
from transformers import T5ForConditionalGeneration

from tinyllm.models.loaded import IGNORED, LoadedModel, embedded
from tinyllm.training.batching import PackedBatch
from tinyllm.training.loss import output_loss, row_losses, task_sums, weighted_loss
from tinyllm.training.passes import packed_t5 as packed
from tinyllm.training.passes.frozen_states import FrozenStates
from tinyllm.training.passes.tree_attention import has_plain_head
from tinyllm.training.step_collator import OptionBatch, Part


class Objective(nn.Module):
    """A student with its loss as a module of its own, so that whatever wraps it for several devices sees one forward pass.

    The student's weights are this module's: whatever trains it trains them in place.

    Args:
        weights: (K,) of the tasks; where teachers' soft_labels are learnt, the last is that of the divergence
        per_token: whether an option's score is its log-likelihood per token
        frozen: runs the layers that are not trained
    """

    def __init__(
        self, model: LoadedModel, weights: Tensor, per_token: bool = False, frozen: FrozenStates | None = None
    ) -> None:
        super().__init__()
        self.frozen = frozen
        self.loaded = model
        self.student = model.wrapped
        self.weights: Tensor
        self.register_buffer("weights", weights, persistent=False)
        self.per_token = per_token

    def forward(self, part: Part, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return this part's share of the step's objective and, without a gradient, its losses summed by task (K,).

        Args:
            part: of `StepCollator`
            counts: (K,) of the whole step
        """
        if isinstance(part, PackedBatch):
            return self._packed(part, counts)
        if isinstance(part, OptionBatch):
            sums = torch.zeros_like(counts)
            sums[-1] = self._divergence(part)
        elif "decoder_input_ids" not in part and has_plain_head(self.loaded):
            return self._causal(part, counts)
        else:
            losses = row_losses(padded_logits(self.loaded, part), part["labels"])
            sums = task_sums(losses * part["weights"], part["tasks"], len(counts))
        return weighted_loss(sums, counts, self.weights), sums.detach()

    def _packed(self, part: PackedBatch, counts: Tensor) -> tuple[Tensor, Tensor]:
        model = self.loaded.plain
        assert isinstance(model, T5ForConditionalGeneration)  # see StepCollator
        states = packed.encode(model, part.source_ids, part.source_layout)
        hidden = packed.decode(model, part.target_ids, part.target_layout, states, part.sources)
        return self._output(hidden.index_select(0, part.labelled), part.labels, part.tasks, part.weights, counts)

    def _causal(self, part: dict[str, Tensor], counts: Tensor) -> tuple[Tensor, Tensor]:
        """Only where a label is foretold are there logits: most of a causal student's tokens are the question's."""
        inputs = {name: part[name] for name in ("input_ids", "attention_mask", "position_ids") if name in part}
        if self.frozen:
            hidden = self.frozen.hidden(part)  # (B, T, D)
        else:
            hidden = self.loaded.plain.base_model(**inputs, use_cache=False).last_hidden_state
        row, place = (part["labels"] != IGNORED).nonzero(as_tuple=True)
        owner = (row, place) if part["tasks"].dim() == 2 else row  # the task of a token, or of its row
        labels, tasks, weights = part["labels"][row, place], part["tasks"][owner], part["weights"][owner]
        return self._output(hidden[row, place], labels, tasks, weights, counts)

    def _output(
        self, hidden: Tensor, labels: Tensor, tasks: Tensor, weights: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        scale = (self.weights / counts.clamp(min=1))[tasks] * weights
        head = self.loaded.plain.get_output_embeddings()
        assert isinstance(head, nn.Linear)
        loss, token_losses = output_loss(hidden, head.weight, labels, scale)
        return loss, task_sums(token_losses * weights, tasks, len(counts))

    def _divergence(self, part: OptionBatch) -> Tensor:
        """Return the summed KL divergence, in nats, from each row of soft_labels to the student's own over the same options."""
        scores = -row_losses(padded_logits(self.loaded, part.batch), part.batch["labels"])  # (B,)
        if self.per_token:
            scores = scores / part.tokens
        table = scores.new_full((int(part.question.max()) + 1, part.soft_labels.shape[1]), float("-inf"))
        students = log_softmax(table.index_put((part.question, part.place), scores), dim=1)[part.owner]  # (P, C)
        possible = part.soft_labels > 0
        log_ratio = part.soft_labels.clamp(min=1e-30).log() - students.masked_fill(~possible, 0.0)
        return (part.soft_labels * log_ratio).sum()


def padded_logits(model: LoadedModel, part: dict[str, Tensor]) -> Tensor:
    """Return the logits (B, T, V) of a padded part."""
    inputs = embedded(model, part["input_ids"], part["attention_mask"])
    if "decoder_input_ids" not in part:
        return model.plain(**inputs, use_cache=False).logits[:, model.soft_tokens :]
    if "sources" not in part:
        return model.plain(**inputs, decoder_input_ids=part["decoder_input_ids"], use_cache=False).logits
    states = model.plain.get_encoder()(**inputs).last_hidden_state
    return model.plain(
        encoder_outputs=(states[part["sources"]],),
        attention_mask=inputs["attention_mask"][part["sources"]],
        decoder_input_ids=part["decoder_input_ids"],
        use_cache=False,
    ).logits
