"""`tinyllm summary`: its lines written out, and what it says of a run that is not finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tinyllm.cli.main import main
from tinyllm.cli.summary import summary
from tinyllm.provenance.records import digest_of, stages_of, write_record
from tinyllm.records.jsonl import write_json

ROOT = Path(__file__).resolve().parents[2]
SCORE = {
    "accuracy": 0.8417,
    "accuracy_low": 0.8164,
    "accuracy_high": 0.864,
    "chance": 0.25,
    "majority": 0.2517,
    "questions": 1600,
    "seeds": 3,
}
EXAMS = {"signs": {"examined": True, "accuracy": 0.4852}, "care": {"examined": False}}
WHOLE = """\
accuracy  84.2% of 1,600 test questions, mean of 3 seeds
          95% interval 81.6 to 86.4, over questions and seeds
guessing  25.0% for a random option
          25.2% for the text, or the place among the options, that is right most often in the test set (known only in hindsight)
teachers  signs 48.5%, care not examined (their own answers to the test questions)
result    The students are shown to be better than guessing: their whole interval lies above it.
page      report/index.html
"""
FREE = """\
accuracy  31.2% of 40 test questions, one seed
          95% interval 18.0 to 48.0, over questions
guessing  18.0% for the text that is right most often in the test set (known only in hindsight); a free text has no other guess
teachers  none; learnt from answers alone
result    The students are not shown to be better than guessing: it lies within their interval or above it.
page      report/index.html is not there yet; `dvc repro` makes it"""


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["corpus"]["teachers"] = list(EXAMS)
    with open("params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    for stage in stages_of(values):
        write_record(stage, {"data.dataset": "casebook"})
    write_json("metrics/score.json", {**SCORE, "params": digest_of({"data.dataset": "casebook"})})
    write_json("metrics/corpus.json", {"rows": {"train": 400}})
    for name, exam in [*EXAMS.items(), ("dropped", EXAMS["signs"])]:
        write_json(f"metrics/exam/{name}.json", exam)
    for path in ("report/index.html", "data/predictions.jsonl"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    return tmp_path


def test_a_run_is_told_in_a_few_lines(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["summary"])
    assert capsys.readouterr().out == WHOLE


def test_committed_numbers_do_not_pass_for_a_run_in_this_folder(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "data/predictions.jsonl").unlink()
    main(["summary"])
    note = "These are the committed numbers. In this folder nothing has run yet: `dvc repro` does it.\n"
    assert capsys.readouterr().out == WHOLE + note


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            lambda: write_record("score", {"data.dataset": "obqa"}),
            'metrics/used/score.json: score was run with data.dataset "obqa", and params.yaml has "casebook"',
        ),
        (
            lambda: write_json("metrics/score.json", {**SCORE, "params": "0123456789ab"}),
            "metrics/used/score.json: metrics/score.json is of other params, 0123456789ab and not 25c9ae2c3767",
        ),
        (
            lambda: Path("metrics/used/assemble.json").unlink(),
            "metrics/used/assemble.json: no such file, so that it is not known what assemble used",
        ),
    ],
)
def test_old_numbers_do_not_pass_for_new(finished: Path, fault: Callable[[], object], said: str) -> None:
    fault()
    with pytest.raises(SystemExit) as stop:
        main(["summary"])
    remedy = "run dvc repro, with --force where it finds nothing to do"
    assert stop.value.code == f"error: not of this run: {said}; {remedy}"


def test_free_text_without_teachers_is_told_too() -> None:
    score = {**SCORE, "accuracy": 0.3125, "accuracy_low": 0.18, "accuracy_high": 0.48, "questions": 40, "seeds": 1}
    assert summary({**score, "chance": 0.0, "majority": 0.18}, {}, has_page=False) == FREE


def test_voices_are_told_with_what_asking_them_took() -> None:
    score = {**SCORE, "voices": {"signs": 0.8, "care": 0.4567}, "generated_tokens": 61.5}
    told = summary(score, EXAMS, has_page=True)
    row = "voices    signs 80.0%, care 45.7%; 61.5 tokens a question\n"
    assert told + "\n" == WHOLE.replace("guessing", row + "guessing", 1)


def test_a_guess_at_the_end_of_the_interval_is_not_beaten() -> None:
    for majority, beaten in ((0.8163, True), (0.8164, False), (0.9, False)):
        told = summary({**SCORE, "majority": majority}, {}, has_page=True)
        assert ("are shown to be better" in told, "are not shown" in told) == (beaten, not beaten)
    assert "are not shown" in summary({**SCORE, "chance": 0.82}, {}, has_page=True)


def test_a_teacher_that_could_not_be_read_has_no_accuracy() -> None:
    exams: dict[str, dict] = {
        "garbled": {"examined": True, "accuracy": None, "questions": 12, "answered": 0, "unparsable": 12},
        "old": {"examined": True, "accuracy": 0.0, "questions": 12, "answered": 0, "failed": 12},
        "half": {"examined": True, "accuracy": 0.25, "questions": 12, "answered": 6, "unparsable": 6},
    }
    (line,) = [line for line in summary(SCORE, exams, has_page=True).splitlines() if line.startswith("teachers")]
    assert line == (
        "teachers  garbled 12 of 12 answers could not be read, old 12 of 12 answers could not be read, "
        "half 25.0% (6 of 12 answers could not be read) (their own answers to the test questions)"
    )


@pytest.mark.parametrize("page", [None, "<html>a page of another run</html>"])
def test_a_page_that_is_not_of_this_run_is_said_to_be(
    finished: Path, capsys: pytest.CaptureFixture[str], page: str | None
) -> None:
    (finished / "report/page.json").write_text("{}")
    (finished / "report/index.html").unlink()
    if page:
        (finished / "report/index.html").write_text(page)
    main(["summary"])
    told = "page      report/index.html is missing or of another run; `tinyllm page` makes it"
    assert capsys.readouterr().out.splitlines()[-1] == told


@pytest.mark.parametrize("path", ["metrics/score.json", "metrics/exam/care.json"])
def test_a_run_that_is_not_finished_ends_in_one_line(finished: Path, path: str) -> None:
    (finished / path).unlink()
    with pytest.raises(SystemExit) as stop:
        main(["summary"])
    assert stop.value.code == f"error: {path}: no such file; run dvc repro, which makes it"


def test_a_control_and_few_gold_answers_are_told(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"labelled": 100, "unlabelled": 300, "made": 290, "left_out": 10, "made_right": 0.7552}
    write_json("metrics/corpus.json", {"answers": answers, "control": "shuffled"})
    main(["summary"])
    told = """\
corpus    This run is a control of what rationales teach: each rationale learnt is another question's, by the same teacher.
          Of train, 100 questions kept their gold answers.
          290 others have the answer that the teachers voted for; 75.5% of these are right.
          10 others were left out.
"""
    before, result, after = WHOLE.partition("result  ")
    assert capsys.readouterr().out == f"{before}{told}{result}{after}"
