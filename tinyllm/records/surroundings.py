"""What a page says of the day on which it is made, and DVC does not keep: where the run comes from, and its control."""

from __future__ import annotations

from typing import Literal, TypedDict

State = Literal["better", "worse", "open", "none", "itself", "unread"]


class Control(TypedDict):
    """What can be said of a run against its control; shares, not points."""

    state: State
    command: str  # what runs a control
    name: str  # the experiment
    value: float
    low: float
    high: float
    why: str  # it could not be read


class Change(TypedDict):
    """A value in which a run differs from its commit."""

    key: str
    committed: str | None  # None where the commit has no such key
    used: str


class Origin(TypedDict):
    """Where a run comes from."""

    dataset: str | None  # with its folder or id, where dvc.lock knows it
    day: str
    commit: str | None
    edited: bool  # code differs from the commit
    changes: list[Change]


class Arm(TypedDict):
    """Students that learn without a teacher, or from one alone, against those of all teachers; shares, not points."""

    name: str
    value: float
    low: float
    high: float
    shown: bool  # told from nothing, after Holm's correction


class Attribution(TypedDict):
    """Which teacher helped, by the experiments of `tinyllm attribute` that have run."""

    accuracy: float  # of students of all teachers, a share
    arms: list[Arm]  # [] where none has run
    missing: list[str]  # arms without a result
    why: str  # the results cannot be read; "" where they can
