"""Whether the packages are installed that a training reports to; none of them is imported."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose package is not there, before a student is trained.

    Args:
        names: runtime.report_to; each is the name of a package and of the extra that brings it

    Raises:
        ValueError: a line for each package that is missing.
    """
    missing = [name for name in names if find_spec(name) is None]
    lines = [
        f'runtime.report_to: {name}, but that package is not installed; pip install -e ".[{name}]", or leave it out'
        for name in missing
    ]
    if lines:
        raise ValueError("\n".join(lines))
