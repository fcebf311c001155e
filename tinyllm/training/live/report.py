"""What the Trainer logs, handed on to the trackers that `runtime.report_to` names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tinyllm.params.schema import Params
from tinyllm.training.live.trackers import LiveRun, Tracker, open_tracker

SHOWN = ("student", "loss", "train")  # the sections of the params that a tracker shows beside a run
OWN = ("loss/", "voice/", "learning_rate", "tokens_per_second", "valid_accuracy")  # how the names of our numbers begin


class Report(TrainerCallback):
    """Tells every tracker of a run what is logged; of several processes the first one does."""

    def __init__(self, names: Sequence[str], run: LiveRun) -> None:
        self.names, self.run = names, run
        self.opened: list[Tracker] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if state.is_world_process_zero:
            self.opened = [open_tracker(name, self.run) for name in self.names]

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **options: Any) -> None:
        values = {name: value for name, value in options["logs"].items() if name.startswith(OWN)}
        for tracker in self.opened if values else []:  # the Trainer logs its own run time in the end
            tracker.log(state.global_step, values)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        for tracker in self.opened:
            tracker.close()


def live_run(params: Params, seed: int, cache: Path, goes_on: bool) -> LiveRun:
    """Return the training as trackers are to know it.

    Args:
        cache: the folder of what may be deleted
    """
    sections = {name: getattr(params, name).model_dump() for name in SHOWN}
    settings = {"corpus.teachers": ", ".join(params.corpus.teachers), **_flat(sections)}
    return LiveRun(cache / "live", os.environ.get("DVC_EXP_NAME") or "workspace", seed, settings, goes_on)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values by their dotted keys; a list is a text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value) if isinstance(value, tuple | list) else value
    return flat
