"""The default run, whole: what the committed metrics say is what a clone of this repository computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clones import copy_of_this


@pytest.mark.nightly
def test_the_default_run_gives_the_committed_metrics(tmp_path: Path) -> None:
    """What no rounding touches is equal; accuracy may differ as much as another processor's rounding can make it.

    Rounding another way, training drifts apart until it is, to all purposes, a run from another seed, on the same test
    questions. The committed interval allows for other seeds and for other questions besides; so the half of its width is
    more than such a drift needs, and less than what a mistake in the objective or in the scoring would do.
    """
    clone = copy_of_this(tmp_path, {})
    before = {path: clone.json(path) for path in sorted(clone.git("ls-files", "metrics/*.json").split())}
    clone.dvc("repro")
    after = {path: clone.json(path) for path in before}
    untrained = [path for path in before if not path.startswith(("metrics/score", "metrics/train/"))]
    assert {path: after[path] for path in untrained} == {path: before[path] for path in untrained}
    for path in before:
        if path.startswith("metrics/train/"):
            for key in ("questions", "parameters", "inputs_cut", "inputs_over_limit", "targets_cut"):
                assert after[path][key] == before[path][key], path
    old, new = before["metrics/score.json"], after["metrics/score.json"]
    assert [type(value) for value in new.values()] == [type(value) for value in old.values()]
    for key in ("questions", "seeds", "chance", "majority"):
        assert new[key] == old[key]
    allowed = (old["accuracy_high"] - old["accuracy_low"]) / 2
    for key in ("accuracy", "exact_match"):
        assert new[key] == pytest.approx(old[key], abs=allowed), key
