"""The stage `assemble` on a folder of generated rows: any order gives the same bytes, a fault changes nothing, memory stays."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.scale import ROOT, assemble, generate
from tinyllm.records.jsonl import read_json, read_jsonl, write_jsonl

TRAIN, VALID, ANN, BEN = (
    Path("data") / name
    for name in ("questions/train.jsonl", "questions/valid.jsonl", "rationales/signs.jsonl", "rationales/care.jsonl")
)
CORPUS = Path("data/corpus/train.jsonl")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, 200)
    return folder


@pytest.fixture
def folder(generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of 200 rows of train and 2 of valid, in which the stage has not run."""
    shutil.copytree(generated, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    monkeypatch.setattr(sys, "argv", ["assemble.py"])
    return tmp_path


def run() -> None:
    runpy.run_path(str(ROOT / "stages/assemble.py"), run_name="__main__")


def refusal() -> str:
    with pytest.raises(SystemExit) as end:
        run()
    return str(end.value.code)


def written() -> dict[str, bytes]:
    """Every file but what the stage reads."""
    inputs = {Path("params.yaml"), TRAIN, VALID, ANN, BEN}
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path not in inputs}


def change(path: Path, number: int, **changes: object) -> None:
    rows = read_jsonl(path)
    rows[number] |= changes
    write_jsonl(path, rows)


def test_all_that_is_written_adds_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    corpus, quarantine = read_jsonl(CORPUS), read_jsonl("data/quarantine.jsonl")
    metrics = read_json("metrics/corpus.json")
    assert sorted(written()) == [
        "data/corpus/train.jsonl",
        "data/corpus/valid.jsonl",
        "data/quarantine.jsonl",
        "metrics/corpus.json",
        "metrics/used/assemble.json",
    ]
    assert [row["id"] for row in corpus] == [row["id"] for row in read_jsonl(TRAIN)]
    assert metrics["rows"] == {"train": 200, "valid": 2}
    for teacher, counts in metrics["teachers"].items():
        refused = [row for row in quarantine if row["teacher"] == teacher]
        assert counts["train"]["kept"] == sum(teacher in row["targets"] for row in corpus) > 100
        assert counts["train"]["quarantined"] == sum(row["split"] == "train" for row in refused) > 10
        assert counts["valid"]["quarantined"] == sum(row["split"] == "valid" for row in refused)
        assert set(counts["train"]["reasons"]) == {"declined", "states_other_option"}
    kept = sum(counts["train"]["kept"] for counts in metrics["teachers"].values())
    line = f"200 rows of train with {kept} rationales; {len(quarantine)} quarantined, see metrics/corpus.json\n"
    assert capsys.readouterr().out == line


def test_a_selection_that_leaves_nothing_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("selection: all", "selection: helpful"))
    for path in (ANN, BEN):  # each says of every question the same, which tells of no answer
        write_jsonl(
            path, [row | {"rationale": "The report is long and was read.", "status": "ok"} for row in read_jsonl(path)]
        )
    run()
    note = "corpus.selection: helpful leaves no rationale, so the student learns from answers alone\n"
    assert capsys.readouterr().out.endswith(note)
    assert all(set(row["targets"]) == {"answer"} for row in read_jsonl(CORPUS))


def test_the_order_of_the_rationales_changes_no_byte(folder: Path) -> None:
    run()
    expected = written()
    for path, seed in ((ANN, 1), (BEN, 2)):
        rows = read_jsonl(path)
        write_jsonl(path, Random(seed).sample(rows, len(rows)))
    run()
    assert written() == expected


def test_rationales_of_questions_that_are_not_here_are_counted(folder: Path) -> None:
    rows = read_jsonl(ANN)
    gone = [{"id": f"gone-{number}", "rationale": "It is lost.", "status": "ok"} for number in range(3)]
    write_jsonl(ANN, [gone[0], *rows[1:], *gone[1:]])
    run()
    metrics = read_json("metrics/corpus.json")["teachers"]["signs"]
    assert (metrics["unknown_ids"], metrics["train"]["reasons"]["missing"]) == (3, 1)


def test_option_probabilities_of_those_who_gave_them_reach_the_corpus(folder: Path) -> None:
    run()
    plain = read_jsonl(CORPUS)
    change(ANN, 3, option_probabilities=[0.7, 0.1, 0.1, 0.1])
    change(BEN, 3, option_probabilities=None)
    run()
    choices = read_jsonl(TRAIN)[3]["choices"]
    plain[3] |= {"option_probabilities": {"signs": [0.7, 0.1, 0.1, 0.1]}, "choices": choices}
    assert read_jsonl(CORPUS) == plain


@pytest.mark.parametrize(
    ("path", "number", "changes", "message"),
    [
        (VALID, 1, {"answer": 7}, "data/questions/valid.jsonl:2: answer 7, but 4 choices (0-3)"),
        (
            VALID,
            1,
            {"id": "train-0000004"},
            "data/questions/valid.jsonl:2: id 'train-0000004' stands in data/questions/train.jsonl:5 too; ids must differ",
        ),
        (
            TRAIN,
            199,
            {"id": "train-0000004"},
            "data/questions/train.jsonl:200: id 'train-0000004' stands in row 5 too; ids must differ",
        ),
        (ANN, 201, {"status": "late"}, "data/rationales/signs.jsonl:202: status 'late', but there is a rationale; "),
        (
            ANN,
            201,
            {"option_probabilities": [0.5, 0.5]},
            "data/rationales/signs.jsonl:202: 2 option_probabilities, but question 'valid-0000001' has 4 choices; ",
        ),
        (
            ANN,
            201,
            {"option_probabilities": [0.5, 0.2, 0.2, 0.2]},
            "data/rationales/signs.jsonl:202: option_probabilities sum to 1.1; allowed is 1, give or take 0.001",
        ),
    ],
)
def test_a_fault_in_the_last_row_is_named_and_leaves_all_as_it_was(
    folder: Path, path: Path, number: int, changes: dict, message: str
) -> None:
    Path("data/corpus").mkdir()
    before = {"data/corpus/train.jsonl": b"old", "data/corpus/valid.jsonl": b"old", "data/quarantine.jsonl": b"old"}
    for name, content in before.items():
        Path(name).write_bytes(content)
    change(path, number, **changes)
    assert refusal().startswith(f"error: {message}")
    assert written() == before


def test_a_first_run_that_fails_leaves_no_file(folder: Path) -> None:
    VALID.write_text("")
    assert refusal() == "error: data/questions/valid.jsonl: no questions; at least 1 is needed"
    assert not written()


def test_what_is_beyond_the_limit_is_written_before_it_is_refused(folder: Path) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("max_quarantined: 1.0", "max_quarantined: 0.01"))
    assert refusal().startswith("error: teacher signs: ")
    assert read_jsonl("data/quarantine.jsonl")[0]["split"] == "train"
    assert json.loads(Path("metrics/corpus.json").read_text())["rows"]["train"] == 200


def few_gold_answers(path: Path, control: str) -> None:
    """Let the second half of train be answered by `signs`, which is not shown the gold answer, and by no other."""
    params = path.read_text()
    for old, new in (
        ("labelled:\n", "labelled: 100\n"),
        ("answers: gold", "answers: teachers"),
        ("control: none", f"control: {control}"),
    ):
        assert params.count(old) == 1
        params = params.replace(old, new)
    path.write_text(params)
    for file, forced in ((ANN, False), (BEN, True)):
        rows = [row | {"forced": forced} for row in read_jsonl(path.parent / file)]
        write_jsonl(path.parent / file, rows)


def test_answers_are_made_and_rationales_shuffled_in_one_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    gold = {row["id"]: row["targets"]["answer"] for row in read_jsonl(CORPUS)}
    signs = {row["id"]: row for row in read_jsonl(ANN)}
    capsys.readouterr()
    few_gold_answers(Path("params.yaml"), "none")
    run()
    plain, metrics = read_jsonl(CORPUS), read_json("metrics/corpus.json")
    answers = metrics["answers"]
    silent = sum(signs[f"train-{number:07d}"]["status"] != "ok" for number in range(100, 200))
    assert [row["id"] for row in plain[:100]] == [f"train-{number:07d}" for number in range(100)]
    assert len(plain) == metrics["rows"]["train"] == 200 - silent and silent > 2
    right = [row["targets"]["answer"] == gold[row["id"]] for row in plain]
    assert all(right[:100]) and answers["made_right"] == round(sum(right[100:]) / len(right[100:]), 4) < 1
    assert (answers["left_out"], answers["reasons"], list(answers["teachers"])) == (
        silent,
        {"no_vote": silent},
        ["signs"],
    )
    assert all(row["targets"]["signs"].endswith(f"points to {row['targets']['answer']}.") for row in plain[100:])
    assert [counts["unknown_ids"] for counts in metrics["teachers"].values()] == [0, 0]
    told = capsys.readouterr().out.splitlines()
    assert told[1].startswith(
        f"100 questions of train beyond data.labelled (100): the teachers answer {100 - silent}, "
    )
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("control: none", "control: shuffled"))
    run()
    shuffled = read_jsonl(CORPUS)
    assert read_json("metrics/corpus.json") == metrics | {"control": "shuffled"}
    for teacher in ("signs", "care"):
        were, are = ([row["targets"].get(teacher) for row in rows] for rows in (plain, shuffled))
        assert sorted(map(str, were)) == sorted(map(str, are))
        assert not any(old and old == new for old, new in zip(were, are, strict=True))
    assert (
        capsys.readouterr().out.splitlines()[2]
        == "corpus.control: shuffled, so a row's rationales are of other questions"
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    "order",
    ["asked", *(pytest.param(order, marks=pytest.mark.nightly) for order in ("other", "few gold answers"))],
)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, order: str) -> None:
    peaks = []
    for rows in (1_000, 15_000):  # held in memory, the larger would take 50 MiB more
        generate(tmp_path, rows)
        if order == "other":
            (tmp_path / ANN).write_bytes(b"".join(reversed((tmp_path / ANN).read_bytes().splitlines(keepends=True))))
        if order == "few gold answers":
            few_gold_answers(tmp_path / "params.yaml", "length")
        peaks.append(assemble(tmp_path).anonymous)
    assert peaks[0] > 20
    assert peaks[1] < 1.2 * peaks[0]
