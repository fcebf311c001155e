"""Files of experiments/: every one that is here is sound, cells that are one experiment are known as one, mistakes are told."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tinyllm.experiments.dvc_experiments import command
from tinyllm.experiments.grid import Table, read_table
from tinyllm.params.load import load_params

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params.yaml"
TABLE = """\
title: A toy
overrides:
  train.seeds: [1, 2]
columns_are: fixed
columns:
  first: {data.seed: 1}
  second: {data.seed: 2}
control: plain
rows:
  plain: {corpus.teachers: []}
  both:
    loss.alpha: 3.0
paper:
  both: {first: 41.6}
"""


def table_of(folder: Path, text: str) -> Table:
    path = folder / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return read_table(path, PARAMS)


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    """All tables of experiments/, read as their users' commands read them."""
    files = sorted((ROOT / "experiments").rglob("*.yaml"))
    return {path.relative_to(ROOT / "experiments").as_posix(): read_table(path, PARAMS) for path in files}


def test_every_cell_of_every_file_is_what_params_allow(tables: dict[str, Table]) -> None:
    assert {name: len(table.cells) for name, table in tables.items()} == {
        "ablations-live.yaml": 24,
        "ablations.yaml": 20,
        "alpha.yaml": 42,
        "cpu/ablations.yaml": 15,
        "cpu/alpha.yaml": 16,
        "cpu/arithmetic.tuned.yaml": 4,
        "cpu/arithmetic.yaml": 4,
        "cpu/casebook.yaml": 12,
        "cpu/few.tuned.yaml": 2,
        "cpu/few.yaml": 4,
        "cpu/main.yaml": 18,
        "cpu/obqa.yaml": 6,
        "cpu/real-parts.yaml": 12,
        "cpu/real-settings.yaml": 33,
        "cpu/real.yaml": 12,
        "cpu/released.yaml": 3,
        "cpu/selection.yaml": 12,
        "cpu/settings.yaml": 36,
        "cpu/teachers.yaml": 12,
        "cpu/when.tuned.yaml": 6,
        "cpu/when.yaml": 8,
        "main.yaml": 144,
        "teachers.yaml": 32,
    }
    for table in tables.values():
        assert len({cell.digest for cell in table.cells.values()}) == len(table.cells)  # no row says what another says


def test_the_papers_numbers_stand_beside_their_cells(tables: dict[str, Table]) -> None:
    paper = tables["main.yaml"].paper
    assert len(paper) == 3 * 4 * 6
    assert paper["FLAN-T5 small (80M)", "TinyLLM", "piqa"] == 52.77
    means = {}
    for part in tables["main.yaml"].parts:
        numbers = [paper[part, "TinyLLM", column] for column in tables["main.yaml"].columns]
        means[part] = round(sum(numbers) / 6, 2)
    assert list(means.values()) == [54.27, 64.94, 73.88]  # as the paper has them


def test_tables_share_what_is_one_experiment(tables: dict[str, Table]) -> None:
    def digest(file: str, row: str, column: str = "world 1") -> str:
        return tables[file].cells["", row, column].digest

    both = {("main", "TinyLLM"), ("ablations", "TinyLLM"), ("alpha", "alpha 6"), ("teachers", "two")}
    assert len({digest(f"cpu/{file}.yaml", row) for file, row in both}) == 1
    assert digest("cpu/main.yaml", "fine-tuning") == digest("cpu/alpha.yaml", "fine-tuning")
    assert digest("cpu/main.yaml", "TinyLLM", "world 2") == digest("cpu/alpha.yaml", "alpha 6", "world 2")
    assert digest("alpha.yaml", "fine-tuning", "arc") == digest("teachers.yaml", "fine-tuning", "arc")


def test_answers_only_has_settings_that_were_tried_on_valid_by_a_seed_of_their_own(tables: dict[str, Table]) -> None:
    def trained(file: str, row: str) -> dict:
        values = tables[f"cpu/{file}.yaml"].cells["", row, "world 2"].params.model_dump()
        del values["train"]["seeds"]
        return values

    tried = trained("settings", "48 epochs, dropout 0, rate 0.001")
    assert (
        trained("main", "fine-tuning")
        == trained("casebook", "answers only")
        == trained("alpha", "fine-tuning")
        == tried
    )
    seeds = {
        name: {seed for cell in table.cells.values() for seed in cell.params.train.seeds}
        for name, table in tables.items()
    }
    assert [name for name, used in seeds.items() if 101 in used] == ["cpu/settings.yaml"]
    assert seeds["cpu/settings.yaml"] == {101}
    grid = {
        (cell.params.train.epochs, cell.params.train.dropout, cell.params.train.learning_rate)
        for cell in tables["cpu/settings.yaml"].cells.values()
    }
    assert grid == set(product((24, 48), (0.0, 0.1), (0.0005, 0.001, 0.002)))


CHOSEN = {
    "fine-tuning": "fine-tuning, rate 0.001",
    "TinyLLM": "alpha 0.1, rate 0.001",
    "ours": "ours, alpha 0.1, rate 0.001",
}


def test_real_questions_are_learnt_with_settings_that_were_tried_on_valid(tables: dict[str, Table]) -> None:
    def trained(file: str, row: str, column: str) -> dict:
        values = tables[file].cells["", row, column].params.model_dump()
        del values["train"]["seeds"], values["data"]["take"]
        return values

    for file in ("cpu/real.yaml", "cpu/real-parts.yaml"):
        for column in ("obqa", "arc", "pubmedqa"):
            for row, tried in CHOSEN.items():
                assert trained(file, row, column) == trained("cpu/real-settings.yaml", tried, column)


def test_a_cell_is_params_yaml_with_its_overrides_and_the_row_goes_last(tmp_path: Path) -> None:
    text = TABLE.replace("first: {data.seed: 1}", "first: {data.seed: 1, loss.alpha: 2.0, train.epochs: 7}")
    cell = table_of(tmp_path, text).cells["", "both", "first"]
    assert cell.params.loss.alpha == 3.0 and cell.params.train.epochs == 7 and cell.params.train.seeds == (1, 2)
    assert cell.overrides == {"loss.alpha": 3.0, "train.epochs": 7, "train.seeds": [1, 2]}  # the seed is 1 anyway
    assert cell.name == f"toy-both-first-{cell.digest}" and cell.title == "both, first"


def test_what_does_not_change_the_result_does_not_change_the_digest(tmp_path: Path) -> None:
    before = table_of(tmp_path, TABLE).cells["", "both", "second"].digest
    for same in (
        "loss.alpha: 3",
        "loss.alpha: 3.0\n    runtime.concurrency: 2",
        "train.threads: 1\n    loss.alpha: 3.0",
    ):
        assert table_of(tmp_path, TABLE.replace("loss.alpha: 3.0", same)).cells["", "both", "second"].digest == before
    renamed = table_of(tmp_path, TABLE.replace("both", "other").replace("second", "zweite"))
    assert renamed.cells["", "other", "zweite"].digest == before
    other = table_of(tmp_path, TABLE.replace("loss.alpha: 3.0", "loss.alpha: 3.5"))
    assert other.cells["", "both", "second"].digest != before


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("loss.alpha: 3.0", "loss.alfa: 3.0", "12: rows.both.loss.alfa: unknown key; did you mean alpha?"),
        ("loss.alpha: 3.0", "los.alpha: 3.0", "12: rows.both.los.alpha: unknown key; did you mean loss?"),
        ("loss.alpha: 3.0", "loss.alpha.x: 3.0", "12: rows.both.loss.alpha.x: unknown key; alpha holds one value"),
        ("loss.alpha: 3.0", "loss.alpha: much", "12: rows.both.loss.alpha: found 'much'; allowed is a valid number"),
        (
            "loss.alpha: 3.0",
            "loss: 3.0",
            "12: rows.both.loss: found 3.0; loss holds answer, alpha, teacher_alpha, kd: write one ",
        ),
        (
            "loss.alpha: 3.0",
            "loss: {alpha: 3.0}",
            "12: rows.both.loss: holds alpha; write each value under its own dotted key",
        ),
        ("[1, 2]", "[1, 1]", "3: overrides.train.seeds: 1 stands 2 times; seeds must differ"),
        (
            "data.seed: 2",
            "data.dataset: obqa",
            "11: rows.both: with columns.second: corpus.teachers: signs (backend expert) has",
        ),
        ("control: plain", "control: plane", "8: control: plane is no row; the rows are plain, both"),
        ("  plain: {", "  both: {}\n  plain: {", '12: not YAML (found duplicate key "both"'),
        ("first: 41.6", "third: 41.6", "14: paper.both.third: third is of no column; there are first, second"),
        ("both: {first", "none: {first", "14: paper.none.first: none is of no row; there are plain, both"),
        ("41.6", "416", "14: paper.both.first: found 416; allowed is an accuracy in percent, 0 to 100"),
        ("{first: 41.6}", "41.6", "14: paper.both: the number is of no column; there are first, second"),
        (
            "fixed",
            "sample",
            "4: columns_are: is sample, but 2 columns do not tell how much such columns differ; name at least 3",
        ),
        ("fixed", "some", "4: columns_are: found 'some'; allowed is 'sample' or 'fixed'"),
        ("title: A toy\n", "", "1: title: is missing; the file must hold every value"),
        ("title: A toy", "titel: A toy", "1: titel: unknown key; did you mean title?"),
        ("  both:\n    loss.alpha: 3.0\n", "  both:\n", "11: rows.both: found null; allowed is a valid dictionary"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert TABLE.count(old) == 1
    with pytest.raises(ValueError) as caught:
        table_of(tmp_path, TABLE.replace(old, new))
    told = str(caught.value).splitlines()
    assert [line for line in told if line.startswith(f"{tmp_path}/toy.yaml:{expected}")], told


def test_all_mistakes_are_told_at_once_and_one_of_a_row_is_told_once(tmp_path: Path) -> None:
    text = TABLE.replace("3.0", "-1.0").replace("data.seed: 2", "data.sed: 2").replace("control: plain", "control: x")
    with pytest.raises(ValueError) as caught:
        table_of(tmp_path, text)
    places = [line.removeprefix(f"{tmp_path}/toy.yaml:").split(": ")[:2] for line in str(caught.value).splitlines()]
    assert places == [["8", "control"], ["7", "columns.second.data.sed"], ["12", "rows.both.loss.alpha"]]


def test_dvc_makes_of_the_command_what_the_cell_says(tmp_path: Path) -> None:
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import apply_overrides

    values = {
        "student.response": "\"it's \\\\ a\\\\'b, [c] {d}: e=f\\n${x} \\\\\"",
        "student.scratch": "null",
        "student.origin": "hub",
        "student.model": "google/flan-t5-small",
        "corpus.teachers": "[signs]",
        "loss.teacher_alpha.signs": "0.25",
        "train.learning_rate": "1.0e-5",
        "prompt.teacher_forcing": "false",
    }
    lines = "".join(f"\n    {key}: {value}" for key, value in values.items())
    cell = table_of(tmp_path, TABLE.replace("\n    loss.alpha: 3.0", lines)).cells["", "both", "second"]
    assert cell.params.student.response == "it's \\ a\\'b, [c] {d}: e=f\n${x} \\"
    called = command(cell)
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-8")
    overrides = to_path_overrides([called[i + 1] for i, part in enumerate(called) if part == "-S"])
    assert list(overrides) == ["params.yaml"]
    apply_overrides(path, overrides["params.yaml"])
    assert load_params(path) == cell.params
