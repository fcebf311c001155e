"""Samples in an Arrow file: what is read is what was written, and a shared source is one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinyllm.training.batching import collate
from tinyllm.training.examples import Example
from tinyllm.training.samples import sample_file
from tinyllm.training.samples.sample_file import SampleFile, write_samples
from tinyllm.training.step_collator import TrainingSample


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


SOURCE, READ = ids(5, 6, 7), ids(5, 6, 7)
SAMPLES = [
    TrainingSample("a", [Example(0, ids(4), ids(2), ids(9, 1)), Example(2, ids(4, 4), ids(2), ids(8), 0.1)]),
    TrainingSample(
        "b",
        [Example(0, SOURCE, ids(2), ids(9)), Example(1, SOURCE, ids(2, 3), ids(8, 1), 1 / 3)],
        [Example(3, READ, ids(2), ids(9)), Example(3, READ, ids(2), ids(7))],
        np.array([[0.1, 0.9], [1 / 3, 2 / 3]], dtype=np.float32),
    ),
    TrainingSample("c", [Example(0, ids(), ids(2, 3, 4), ids(1), shared=2)]),
    TrainingSample("d", []),
]


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape and bool((first == second).all())


def same_examples(first: list[Example], second: list[Example]) -> bool:
    return len(first) == len(second) and all(
        (a.task, a.weight, a.shared) == (b.task, b.weight, b.shared)
        and all(same(getattr(a, name), getattr(b, name)) for name in ("source", "prompt", "labels"))
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(params=[1, 3, 4], ids="{} samples a block".format)
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SampleFile:
    monkeypatch.setattr(sample_file, "BATCH_SAMPLES", 2)
    write_samples(
        tmp_path / "samples.arrow", (SAMPLES[i : i + request.param] for i in range(0, len(SAMPLES), request.param))
    )
    return SampleFile(tmp_path / "samples.arrow")


def test_what_is_read_is_what_was_written(file: SampleFile) -> None:
    assert len(file) == len(SAMPLES)
    for i in (3, 1, 0, 2, 1):  # in any order, and again
        read, written = file[i], SAMPLES[i]
        assert read.id == written.id
        assert same_examples(read.examples, written.examples) and same_examples(read.options, written.options)
        assert (read.soft_labels is None) == (written.soft_labels is None)
        if written.soft_labels is not None:
            assert read.soft_labels is not None and same(read.soft_labels, written.soft_labels)


def test_a_source_is_one_array_where_it_was_one_and_two_where_it_was_two(file: SampleFile) -> None:
    sample = file[1]
    assert sample.examples[0].source is sample.examples[1].source
    assert sample.options[0].source is sample.options[1].source
    assert sample.examples[0].source is not sample.options[0].source
    for name, tensor in collate(SAMPLES[1].examples, pad_id=0).items():
        assert torch.equal(collate(sample.examples, pad_id=0)[name], tensor)


def test_no_rows_are_a_file_of_no_samples(tmp_path: Path) -> None:
    write_samples(tmp_path / "samples.arrow", [])
    assert len(SampleFile(tmp_path / "samples.arrow")) == 0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"missing/samples\.arrow: cannot be written \(.*\); free space and run again$"
    ):
        write_samples(tmp_path / "missing" / "samples.arrow", [SAMPLES])


def test_alternatives_are_read_as_they_were_written_and_stand_in_no_file_without_them(tmp_path: Path) -> None:
    several = Example(1, SOURCE, ids(2), ids(9, 1), 0.5, 0, (ids(8), ids(7, 7, 1)))
    samples = [TrainingSample("a", [Example(0, SOURCE, ids(2), ids(6)), several]), *SAMPLES]
    write_samples(tmp_path / "several.arrow", [samples], alternatives=True)
    file = SampleFile(tmp_path / "several.arrow")
    first, second = file[0].examples
    assert first.alternatives == () and [each.tolist() for each in second.alternatives] == [[8], [7, 7, 1]]
    assert all(each.dtype == np.int32 for each in second.alternatives) and second.source is first.source
    assert same_examples(file[2].examples, SAMPLES[1].examples) and same_examples(file[2].options, SAMPLES[1].options)
    write_samples(tmp_path / "one.arrow", [samples])
    assert SampleFile(tmp_path / "one.arrow")[0].examples[1].alternatives == ()
    assert b"alternatives" not in (tmp_path / "one.arrow").read_bytes()
