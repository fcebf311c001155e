"""What a table's file says of how its settings are chosen."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tinyllm.params.value_types import Count, Section, Seed

Candidates = dict[str, Annotated[list[Any], Field(min_length=1)]]  # by dotted key; every combination is one candidate


class Tune(Section):
    """The section `tune` of a table's file."""

    candidates: Annotated[Candidates, Field(min_length=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]  # of no run of the table
    halving: Annotated[int, Field(ge=2)] = 2  # one in so many goes on to the next round
    budget: Count | None = None  # trainings of each row in each column; null is what the largest row takes
    take: dict[str, int] = {}  # of data.take, while settings are chosen
    rows: dict[str, Candidates] = {}  # candidates of a row's own, in place of all of the above; {} chooses nothing
