"""A training's progress on the terminal: every step, each look at valid, and the time that both still take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tinyllm.console import Advance, progress
from tinyllm.training.live.pace import Pace

UNTIMED = "time left is without looks at valid"  # until the first of them has been timed


class Progress(TrainerCallback):
    """Every step on a bar, or in a plain line now and then; a line at each look at valid."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.open = pace, ExitStack()
        self.done: Advance | Callable[..., None] = lambda *_: None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if state.is_world_process_zero:
            self.done = self.open.enter_context(progress("train", "steps", state.max_steps))
            self.done(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        steps, looks = state.max_steps - state.global_step, looks_left(state)
        note = UNTIMED if looks and self.pace.steps and not self.pace.looks else ""
        self.done(1, note, self.pace.seconds_left(steps, looks))

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **options: Any
    ) -> None:
        if state.is_world_process_zero:
            accuracy = options["metrics"]["eval_valid_accuracy"]
            tqdm.write(f"epoch {round(state.epoch or 0):>3}  valid accuracy {accuracy:.4f}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.open.close()


def looks_left(state: TrainerState) -> int:
    """Return how many looks at valid are still to come: one every `eval_steps`, and one at the last step."""
    every = int(state.eval_steps)
    return -(-state.max_steps // every) - state.global_step // every if state.global_step < state.max_steps else 0
