"""A teacher that runs on this machine: a transformers model, encoder-decoder or causal, asked in batches.

It brings torch: whoever opens a teacher imports it only for a local one, since most stages start without torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tinyllm.models.chat import in_template
from tinyllm.models.decoding import ByRow, Decoded, decode, decoder_arguments
from tinyllm.models.device import choose_device, within_memory
from tinyllm.models.finite import FiniteLogits
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.plain_text import PlainText
from tinyllm.models.sampling import SeededSampling
from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import LocalTeacher
from tinyllm.teachers.local.checkpoint import context_tokens, load_teacher, open_teacher_checkpoint
from tinyllm.teachers.local.decoding import NOT_FINITE, Encoded, EndOrStop, stream_seeds
from tinyllm.teachers.protocol import STOP, Failure, Generation, Prompt


class Local:
    """A `teachers.Backend` over one transformers model.

    The tokenizer is loaded at once, the weights with the first prompt that is admitted. An answer depends on its prompt
    alone: in float32 neither the batch nor the order of the prompts changes it, greedy or sampled. In bf16 the last digits
    of a score depend on the batch, and now and then a token does.
    """

    def __init__(self, settings: LocalTeacher, runtime: Runtime) -> None:
        """
        Raises:
            ValueError: the checkpoint or the device is not there, or the settings do not fit the model.
        """
        self.settings = settings
        self.max_new_tokens = settings.max_new_tokens
        self.batch_tokens = runtime.batch_tokens
        self.device, self.precision = _hardware(runtime)
        checkpoint = open_teacher_checkpoint(settings)
        self.checkpoint, self.tokenizer = checkpoint.opened, checkpoint.opened.tokenizer
        self.plain_text = PlainText(self.tokenizer)
        self.context_tokens = context_tokens(settings.model, self.checkpoint.config, settings.max_new_tokens)
        self.identity = {
            "backend": "local",
            **checkpoint.identity,
            "chat": settings.chat,
            "precision": self.precision,
            "max_new_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "seed": settings.seed if settings.temperature > 0 else None,
        }
        self.model: LoadedModel | None = None

    def count_tokens(self, prompt: Prompt) -> int:
        """Return the prompt's tokens, with those of a chat template and the special ones."""
        return len(self.encode(prompt))

    def encode(self, prompt: Prompt, behind: str = "") -> list[int]:
        """Return the tokens of the prompt as the model reads it, and of a text behind it, with a space between if it needs one.

        Raises:
            ValueError: the chat template refuses the prompt, or the tokenizer takes what it says for a special token.
        """
        text = self._templated(prompt) if self.settings.chat else _joined(prompt)
        space = " " if behind and not text[-1:].isspace() else ""
        chat = self.settings.chat  # a template writes the special tokens itself
        (ids,) = self.plain_text.ids([f"{text}{space}{behind}"], add_special_tokens=not chat, templated=chat)
        return ids

    def load(self) -> LoadedModel:
        """Return the model, whose weights are loaded the first time.

        Raises:
            ValueError: they cannot be.
        """
        if self.model is None:
            self.model = load_teacher(self.checkpoint, self.device, self.precision)
        return self.model

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Generator[tuple[int, Generation | Failure]]:
        """Yield every answer once its batch is done, longest prompts first: what does not fit into memory shows at once.

        Raises:
            ValueError: the weights cannot be loaded, or the chat template refuses a prompt.
        """
        encoded = [Encoded(index, self.encode(prompt), prompt.sample) for index, prompt in enumerate(prompts)]
        waiting: deque[Encoded] = deque()
        for item in sorted(encoded, key=lambda item: -len(item.ids)):
            if self.context_tokens is not None and self._width(item) > self.context_tokens:
                tokens = f"{len(item.ids)} tokens and up to {self.max_new_tokens} of the answer"
                yield item.index, Failure("too_long", f"{tokens}; the model holds {self.context_tokens}")
            else:
                waiting.append(item)
        admitted: set[int] = set()
        while batch := self._next_batch(waiting, admitted, reserve):
            for item, answer in zip(
                batch, self._answer_or_halve(batch), strict=False
            ):  # halved, there is no answer yet
                waiting.popleft()
                yield item.index, answer

    def _next_batch(self, waiting: deque[Encoded], admitted: set[int], reserve: Callable[[int], bool]) -> list[Encoded]:
        """Return from the head as many as fit the token budget, at least one, and are admitted."""
        batch: list[Encoded] = []
        room = max(1, self.batch_tokens // self._width(waiting[0])) if waiting else 0
        for item in islice(waiting, room):
            if item.index not in admitted and not reserve(item.index):
                break
            admitted.add(item.index)
            batch.append(item)
        return batch

    def _width(self, item: Encoded) -> int:
        return len(item.ids) + self.max_new_tokens

    def _answer_or_halve(self, batch: Sequence[Encoded]) -> Sequence[Generation | Failure]:
        """Return the batch's answers; where it does not fit into memory, none, and halve the token budget for good."""
        model = self.load()
        answers = within_memory(lambda: self._answer(model, batch))
        if answers is not None:
            return answers
        if len(batch) == 1:
            tokens = f"a prompt of {len(batch[0].ids)} tokens with up to {self.max_new_tokens} of the answer"
            return [Failure("out_of_memory", f"{tokens} does not fit into the memory of the {self.device}")]
        self.batch_tokens = len(batch) // 2 * self._width(batch[0])
        return []

    def _answer(self, model: LoadedModel, batch: Sequence[Encoded]) -> list[Generation | Failure]:
        width = max(len(item.ids) for item in batch)
        ids = torch.zeros((len(batch), width), dtype=torch.long)  # (B, S)
        mask = torch.zeros_like(ids)
        for row, item in enumerate(batch):
            # a causal model's answer follows the prompt in the same row
            columns = slice(width - len(item.ids), None) if model.causal else slice(len(item.ids))
            ids[row, columns], mask[row, columns] = torch.tensor(item.ids), 1
        start = width if model.causal else 1  # a decoder starts with a token that is no part of the answer
        settings = model.plain.generation_config
        ending = EndOrStop(self.tokenizer, settings.eos_token_id, start, len(batch))
        processors: list[ByRow] = [FiniteLogits(ending.give_up, len(batch))]
        if self.settings.temperature > 0:
            processors.append(SeededSampling(self.settings.temperature, stream_seeds(self.settings.seed, batch)))
        with torch.inference_mode():
            arguments = self._inputs(model, ids.to(self.device), mask.to(self.device))
            rows = decode(model, arguments, self.max_new_tokens, ending, processors)
        return [
            Failure(NOT_FINITE, "the likelihoods of its next token are no finite numbers; its weights may be damaged")
            if row in ending.given_up
            else self._finish(item, decoded, ending.ends, model.causal)
            for row, (item, decoded) in enumerate(zip(batch, rows, strict=True))
        ]

    def _inputs(self, model: LoadedModel, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        """Return what decoding is given of prompts (B, S)."""
        if model.causal:
            return {"input_ids": ids, "attention_mask": mask}
        prompts = ids.new_full((len(ids), 1), model.plain.generation_config.decoder_start_token_id)
        return decoder_arguments(model, {"input_ids": ids, "attention_mask": mask}, prompts, range(len(ids)))

    def _finish(self, item: Encoded, decoded: Decoded, ends: Sequence[int], causal: bool) -> Generation:
        tokens = decoded.tokens
        text = _decode(self.tokenizer, tokens[:-1] if tokens[-1] in ends else tokens, after="a" if causal else "")
        finish = "stop" if decoded.ended else "length"
        return Generation(text.partition(STOP)[0], finish, len(item.ids), len(tokens))

    def _templated(self, prompt: Prompt) -> str:
        messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages.append({"role": "user", "content": prompt.text})
        try:
            return in_template(self.plain_text, messages)
        except ValueError as error:
            raise ValueError(
                f"local: the chat template of {self.settings.model} refuses the prompt ({error}); "
                "leave prompt.instruction empty, or set chat to false"
            ) from None


def _joined(prompt: Prompt) -> str:
    return f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text


def _decode(tokenizer: PreTrainedTokenizerBase, tokens: list[int], after: str) -> str:
    """Return the text of tokens that follow `after`, special tokens left out.

    Some tokenizers drop the space before a text's first word, which is none where the text goes on.
    """
    before = tokenizer(after, add_special_tokens=False)["input_ids"]
    text, head = (
        str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        for ids in (before + tokens, before)
    )
    return text.removeprefix(head)


def _hardware(runtime: Runtime) -> tuple[str, str]:
    """Return `cuda`, `mps` or `cpu`, and the precision in use: bf16 where asked for and the GPU has it; a CPU always does.

    Raises:
        ValueError: cuda or mps is asked for and there is none.
    """
    device = choose_device(runtime)
    lacking = device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return device, "fp32" if lacking else runtime.precision
