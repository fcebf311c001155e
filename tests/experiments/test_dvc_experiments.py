"""The experiments' own arithmetic, and that an interrupted one goes on where it stopped; nothing is trained here."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from experiments import casebook
from experiments.casebook import ARMS, GRID, SEEDS, TUNING_SEED, WORLDS, choose_settings, job, key_of, table, train_all
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_jsonl, write_jsonl

TEST = {  # accuracy on test by arm; a row is a world, a column a seed
    "both teachers": [[0.90, 0.80], [0.70, 0.80], [0.80, 0.80]],  # 85, 75, 80: 80
    "signs alone": [[0.70, 0.80], [0.70, 0.70], [0.60, 0.70]],  # 75, 70, 65: 70
    "care alone": [[0.95, 0.85], [0.80, 0.90], [0.80, 0.80]],  # 90, 85, 80: 85
    "answers only": [[0.40, 0.30], [0.30, 0.40], [0.30, 0.20]],  # 35, 35, 25: 31.667
}


@pytest.fixture
def params() -> Params:
    return load_params(Path(__file__).resolve().parents[2] / "params.yaml")


@pytest.fixture
def runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(casebook, "RUNS", tmp_path / "casebook.jsonl")
    return tmp_path / "casebook.jsonl"


def row_of(params: Params, one: dict, **result: float) -> dict:
    """A line of the runs' file: the run under all the settings that it depends on."""
    return {"key": key_of(params, one), "run": {**one, **result}}


def no_training(params: Params, one: dict) -> dict:
    """Stands for `train_one` in the worker process, which imports it by name."""
    return {**one, "valid": one["seed"] / 10}


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_table_is_the_one_worked_out_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # t(0.975, 2) = 4.302653, over the root of three worlds 2.484137. What both gain, world by world:
    # over signs 10, 5, 15: mean 10, deviation 5, half 12.42; over care -5, -10, 0: mean -5, half 12.42;
    # over answers 50, 40, 55: mean 48.333, deviation 7.638, half 18.97
    monkeypatch.setattr(casebook, "SEEDS", (1, 2))
    runs = [
        {"world": w, "arm": arm, "seed": s, "settings": {}, "valid": 0.5, "test": TEST[arm][w - 1][s - 1]}
        for s, w, arm in product((2, 1), (3, 1, 2), ARMS)  # in no order: runs end as they like
    ]
    assert table(runs).splitlines() == [
        "| learnt from | accuracy | world 1 | world 2 | world 3 | both teachers gain | 95% interval |",
        "|---|---|---|---|---|---|---|",
        "| both teachers | 80.0 | 85.0 | 75.0 | 80.0 |  |  |",
        "| signs alone | 70.0 | 75.0 | 70.0 | 65.0 | +10.0 | -2.4 to +22.4 |",
        "| care alone | 85.0 | 90.0 | 85.0 | 80.0 | -5.0 | -17.4 to +7.4 |",
        "| answers only | 31.7 | 35.0 | 35.0 | 25.0 | +48.3 | +29.4 to +67.3 |",
    ]


# --- going on -------------------------------------------------------------------------------------------------------


def test_runs_that_are_all_there_are_returned_in_the_jobs_order_and_nothing_is_trained(
    params: Params, runs_file: Path
) -> None:
    jobs = [job(world, arm, 1, {}) for world, arm in product(WORLDS, ARMS)]
    rows = [row_of(params, one, test=number / 100) for number, one in enumerate(jobs)]
    write_jsonl(runs_file, rows[::-1])
    before = runs_file.read_bytes()
    assert train_all(params, jobs) == [row["run"] for row in rows]
    assert runs_file.read_bytes() == before


def test_only_the_missing_run_is_trained_and_it_is_kept(
    params: Params, runs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casebook, "train_one", no_training)
    jobs = [job(1, "care alone", seed, {}) for seed in (1, 2, 3)]
    write_jsonl(runs_file, [row_of(params, jobs[0], valid=0.91), row_of(params, jobs[2], valid=0.93)])
    expected = [{**jobs[0], "valid": 0.91}, {**jobs[1], "valid": 0.2}, {**jobs[2], "valid": 0.93}]
    assert train_all(params, jobs) == expected
    assert read_jsonl(runs_file)[2:] == [row_of(params, jobs[1], valid=0.2)]
    assert train_all(params, jobs) == expected
    assert len(read_jsonl(runs_file)) == 3


def test_another_learning_rate_is_another_run_and_another_device_is_not(params: Params) -> None:
    one = job(1, "care alone", 1, {})
    faster = params.model_copy(update={"train": params.train.model_copy(update={"learning_rate": 0.003})})
    elsewhere = params.model_copy(update={"runtime": params.runtime.model_copy(update={"device": "cpu"})})
    assert key_of(faster, one) != key_of(params, one) == key_of(elsewhere, one)


def test_a_line_cut_off_in_the_writing_is_trained_again(params: Params, runs_file: Path, monkeypatch) -> None:
    monkeypatch.setattr(casebook, "train_one", no_training)
    jobs = [job(1, "care alone", seed, {}) for seed in (1, 2)]
    write_jsonl(runs_file, [row_of(params, one, valid=0.9) for one in jobs])
    runs_file.write_bytes(runs_file.read_bytes()[:-20])
    assert train_all(params, jobs) == [{**jobs[0], "valid": 0.9}, {**jobs[1], "valid": 0.2}]
    assert len(read_jsonl(runs_file)) == 2


def test_the_control_gets_the_settings_that_are_best_on_valid_over_all_worlds(params: Params, runs_file: Path) -> None:
    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    valid = {world: [0.5] * len(grid) for world in WORLDS}
    valid[1][0] = 0.9  # the best of world 1 alone: 0.633 over all
    for world in WORLDS:
        valid[world][3] = 0.65
    rows = [
        row_of(params, job(world, "answers only", TUNING_SEED, settings), valid=valid[world][number])
        for world in WORLDS
        for number, settings in enumerate(grid)
    ]
    write_jsonl(runs_file, rows)
    assert choose_settings(params) == grid[3]
    assert TUNING_SEED not in SEEDS
