"""A teacher that runs on this machine: a transformers model, encoder-decoder or causal, asked in batches.

It brings torch: whoever opens a teacher imports it only for a local one, since most stages start without torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence

import torch

from tinyllm.models.chat import in_template
from tinyllm.models.device import choose_device, note_slow_bf16
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.plain_text import PlainText
from tinyllm.params.schema import Runtime
from tinyllm.params.teacher_entries import LocalTeacher
from tinyllm.teachers.local.checkpoint import context_tokens, open_teacher_checkpoint
from tinyllm.teachers.local.decoding import Encoded
from tinyllm.teachers.local.model import Recipe, TeacherModel
from tinyllm.teachers.local.workers import Here, Processes, Workers
from tinyllm.teachers.protocol import Failure, Generation, Prompt

FEWEST = 8  # prompts that are worth a batch of their own where another process is free


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
        self.computes = TeacherModel(
            Recipe(settings, self.checkpoint.source, self.device, self.precision), self.checkpoint
        )
        self.workers = self._workers(runtime)

    def _workers(self, runtime: Runtime) -> Workers:
        if runtime.cluster is not None:
            from tinyllm.teachers.local.cluster import ClusterWorkers  # brings ray, an extra

            return ClusterWorkers(self.computes.recipe, runtime.cluster, runtime.processes)
        if runtime.processes > 1:
            return Processes(self.computes.recipe, runtime.processes)
        return Here(self.computes)

    @property
    def model(self) -> LoadedModel | None:
        """The model, if this process has loaded it."""
        return self.computes.model

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
        """Return the model of this process, whose weights are loaded the first time.

        Raises:
            ValueError: they cannot be.
        """
        return self.computes.load()

    def generate(
        self, prompts: Sequence[Prompt], reserve: Callable[[int], bool]
    ) -> Generator[tuple[int, Generation | Failure]]:
        """Yield every answer once its batch is done, longest prompts first: what does not fit into memory shows at once.

        Each process has one batch at a time.

        Raises:
            ValueError: the weights cannot be loaded, the chat template refuses a prompt, or a process was killed.
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
        under_way: dict[int, list[Encoded]] = {}
        try:
            while True:
                while len(under_way) < self.workers.count and (batch := self._next_batch(waiting, admitted, reserve)):
                    under_way[self.workers.send("answer", batch)] = batch
                if not under_way:
                    return
                ticket, answers = self.workers.receive()
                batch = under_way.pop(ticket)
                if answers is None and len(batch) > 1:  # it does not fit into memory: smaller batches, for good
                    self.batch_tokens = len(batch) // 2 * self._width(batch[0])
                    waiting.extendleft(reversed(batch))
                    continue
                for item, answer in zip(batch, answers or [self._no_room(batch[0])], strict=True):
                    yield item.index, answer
        finally:
            if under_way:  # left early
                self.workers.drop()

    def _next_batch(self, waiting: deque[Encoded], admitted: set[int], reserve: Callable[[int], bool]) -> list[Encoded]:
        """Take from the head as many as fit the token budget, at least one, and are admitted."""
        batch: list[Encoded] = []
        room = max(1, self.batch_tokens // self._width(waiting[0])) if waiting else 0
        if self.workers.count > 1:  # so that all are at work to the end
            room = min(room, max(FEWEST, -(-len(waiting) // self.workers.count)))
        while waiting and len(batch) < room:
            if waiting[0].index not in admitted and not reserve(waiting[0].index):
                break
            admitted.add(waiting[0].index)
            batch.append(waiting.popleft())
        return batch

    def _width(self, item: Encoded) -> int:
        return len(item.ids) + self.max_new_tokens

    def _no_room(self, item: Encoded) -> Failure:
        tokens = f"a prompt of {len(item.ids)} tokens with up to {self.max_new_tokens} of the answer"
        return Failure("out_of_memory", f"{tokens} does not fit into the memory of the {self.device}")

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


def _hardware(runtime: Runtime) -> tuple[str, str]:
    """Return `cuda`, `mps` or `cpu`, and the precision in use: bf16 where asked for and the GPU has it; a CPU always does.

    Raises:
        ValueError: cuda or mps is asked for and there is none.
    """
    device = choose_device(runtime)
    note_slow_bf16(device, {"runtime.precision": runtime.precision})
    lacking = device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return device, "fp32" if lacking else runtime.precision
