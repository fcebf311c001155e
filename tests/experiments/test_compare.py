"""`tinyllm compare` on a small git and DVC project: what it says, and what it refuses."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import t as student

from tests.dvc_project import (
    PREDICTIONS,
    QUESTIONS,
    Project,
    git,
    in_memory,
    lines,
    prediction_rows,
    question_rows,
)
from tinyllm.cli.experiments.compare import add_parser, as_text
from tinyllm.experiments.compare import compare
from tinyllm.experiments.runs import Run, parse_run
from tinyllm.provenance.records import stages_of, write_record
from tinyllm.records.jsonl import write_json
from tinyllm.records.questions import parse_questions

COMMAND = """
import argparse, sys
from tinyllm.cli.experiments.compare import add_parser
parser = argparse.ArgumentParser(prog="tinyllm")
add_parser(parser.add_subparsers())
given = parser.parse_args()
try:
    given.run(given)
except ValueError as error:
    sys.exit(f"error: {error}")
"""


def run_command(*names: str) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["compare", *names])
    given.run(given)


def refusal(*names: str) -> str:
    with pytest.raises(ValueError) as caught:
        run_command(*names)
    message = str(caught.value)
    assert "\n" not in message
    return message


TWELVE = question_rows(12)
ASKED = lines(TWELVE)
FEW = lines(prediction_rows(TWELVE, lambda seed, i: i < 2 + seed))  # 3, 4 and 5 of 12 right
MORE = lines(prediction_rows(TWELVE, lambda seed, i: i < 10 or (seed == 3 and i == 10)))  # 10, 10 and 11

TEXT = """\
           accuracy  95% interval  std over seeds
few            33.3  {few}  8.3 (seeds 1, 2, 3)
workspace      86.1  {more}  4.8 (seeds 1, 2, 3)

workspace against few: 12 questions, paired by question and seed
  difference   +52.8 points, 95% t interval over questions and seeds +{low} to +{high}, p {p}
  McNemar      p 0.0312, exact, of the seeds' majority answers: 6 right in workspace alone, 0 in few alone; blind to \
other seeds
  a seed       6.3 from wrong to right, 0.0 from right to wrong, mean of 3 seeds
  could show   a difference of {smallest} points (80% power at 5%, two-sided)
  workspace is better by 52.8 points ({low} to {high}).
"""


# --- what it says ---------------------------------------------------------------------------------------------------


def test_a_branch_and_the_workspace_are_compared_in_numbers_and_words(project: Project, capsys) -> None:
    project.commit("few", ASKED, FEW)
    project.put(ASKED, MORE)
    run_command("few", "workspace", "--json")
    found = json.loads(capsys.readouterr().out)
    few, more = found["runs"]
    assert (few["name"], few["seeds"], few["accuracy"]) == ("few", [1, 2, 3], pytest.approx(1 / 3))
    assert more["seed_accuracies"] == pytest.approx([10 / 12, 10 / 12, 11 / 12])
    assert more["seed_std"] == pytest.approx(1 / 12 / 3**0.5)
    (pair,) = found["comparisons"]
    gain = pair["difference"]
    # gains of the seeds 7, 6 and 6 of 12
    assert gain["value"] == pytest.approx(19 / 36)
    assert pair["mcnemar"] == {"only_control": 0, "only_other": 6, "p": pytest.approx(2 / 64), "p_holm": 2 / 64}
    assert (found["questions"], pair["paired_by"], pair["notes"]) == (12, ["question", "seed"], [])

    run_command("few", "workspace")
    shown = TEXT.format(
        few=f"{100 * round(few['low'], 4):.1f} to {100 * round(few['high'], 4):.1f}",
        more=f"{100 * round(more['low'], 4):.1f} to {100 * round(more['high'], 4):.1f}",
        low=f"{100 * round(gain['low'], 4):.1f}",
        high=f"{100 * round(gain['high'], 4):.1f}",
        p=f"{gain['p']:.4f}",
        smallest=f"{100 * round(gain['smallest_shown'], 4):.1f}",
    )
    assert capsys.readouterr().out == shown


def test_one_voice_of_a_run_is_compared_as_a_run_of_its_own(project: Project, capsys) -> None:
    rows = prediction_rows(TWELVE, lambda seed, i: i < 2 + seed)
    for row in rows:
        right, wrong = row["gold"], (row["gold"] + 1) % 4
        said = {"rationale": "So.", "weight": 0.5, "tokens": 3, "scores": row["scores"]}
        row["voices"] = {"ann": {**said, "choice": right}, "bob": {**said, "choice": wrong}}
    project.commit("vote", ASKED, lines(rows))
    run_command("vote", "vote@ann", "vote@bob", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["accuracy"]) for one in found["runs"]] == [
        ("vote", pytest.approx(1 / 3)),
        ("vote@ann", 1.0),
        ("vote@bob", 0.0),
    ]
    assert refusal("vote", "vote@cy") == "vote@cy: no such voice; its voices are ann, bob"
    project.commit("few", ASKED, FEW)
    assert refusal("vote", "few@ann") == "few@ann: no such voice; it was asked in no voices"
    git(project.folder, "branch", "few@ann", "vote")  # a branch of that name is meant
    run_command("few", "few@ann")


def test_the_better_run_is_named_whichever_comes_first() -> None:
    runs = [in_memory("more", TWELVE, lambda seed, i: i < 10), in_memory("few", TWELVE, lambda seed, i: i < 3)]
    # seven of 12 in every seed: squares 7 - 49/12, and 1/3; root of 3.25 / 11 / 12 is 0.156912, t(0.975, 11) = 2.200985
    assert as_text(compare(runs)).endswith("\n  more is better by 58.3 points (23.8 to 92.9).")


def test_one_run_under_two_names_is_told(project: Project, capsys) -> None:
    project.commit("few", ASKED, FEW)
    run_command("few", "workspace")
    told = "  note         the predictions are the same to the last digit: one run under two names ("
    assert told in capsys.readouterr().out


def test_equal_choices_with_other_scores_are_two_runs() -> None:
    few, other = (in_memory(name, TWELVE, lambda seed, i: i < 3) for name in ("few", "other"))
    other.scores[5][1, 2] += 0.25
    (pair,) = compare([few, other])["comparisons"]
    assert pair["notes"] == []


def test_a_difference_that_may_be_chance_is_not_told() -> None:
    few = in_memory("few", TWELVE, lambda seed, i: i < 2 + seed)
    more = in_memory("more", TWELVE, lambda seed, i: i < 3 + seed)
    # every seed gains one question, each another: mean 1/12, squares 3/9 - 12/144 = 1/4, and 1/3 for the answers added;
    # seeds do not differ; variance 7/12 / 11 / 12, its root 0.066477, t(0.975, 11) = 2.200985; the shift for 80% is 3.078
    assert as_text(compare([few, more])).splitlines()[-1] == (
        "  No difference can be told: more is +8.3 points against few (-6.3 to +23.0); "
        "this test could have shown one of 20.5."
    )


# --- equality and flips ---------------------------------------------------------------------------------------------


def test_runs_that_differ_by_little_are_told_to_be_equal() -> None:
    many = question_rows(400)
    control = in_memory("control", many, lambda seed, i: i < 200)
    other = in_memory("other", many, lambda seed, i: 2 <= i < 204)  # 2 lost and 4 won, the same in every seed
    (pair,) = compare([control, other], within=3)["comparisons"]
    # squares 6 - 400 * 0.005**2 = 5.99, and 1/3 for the answers added; variance 6.3233 / 399 / 400 = 3.9620e-5,
    # error 0.00629446; on 399 degrees of freedom, seeds do not differ; t of 0.025 is 3.97177, t(0.95) is 1.648682
    assert pair["equivalence"] == {
        "within": 3,
        "p": pytest.approx(student.sf(3.97177, 399), rel=1e-4),
        "p_holm": pytest.approx(student.sf(3.97177, 399), rel=1e-4),
        "low": pytest.approx(0.005 - 1.648682 * 0.00629446, abs=1e-7),
        "high": pytest.approx(0.005 + 1.648682 * 0.00629446, abs=1e-7),
    }
    assert pair["verdict"] == (
        "Equal within 3 points: other is +0.5 points against control (90% interval -0.5 to +1.5)."
    )
    assert "  within 3     p < 0.0001, two one-sided tests, 90% interval -0.5 to +1.5\n" in as_text(
        compare([control, other], within=3)
    )


def test_a_small_difference_is_told_and_that_it_is_small() -> None:
    many = question_rows(2000)
    control = in_memory("control", many, lambda seed, i: i < 1000)
    other = in_memory("other", many, lambda seed, i: i < 1010)
    (pair,) = compare([other, control], within=1)["comparisons"]
    # squares 10 - 2000 * 0.005**2 = 9.95, and 1/3; error sqrt(10.2833 / 1999 / 2000) = 0.0016038; t(0.95, 1999) = 1.645616
    assert pair["verdict"] == (
        "other is better by 0.5 points (0.2 to 0.8), and both are equal within 1 point (90% interval -0.8 to -0.2)."
    )


def test_what_is_neither_different_nor_equal_is_told_to_be_neither() -> None:
    few = in_memory("few", TWELVE, lambda seed, i: i < 2 + seed)
    more = in_memory("more", TWELVE, lambda seed, i: i < 3 + seed)
    (pair,) = compare([few, more], within=2.5)["comparisons"]
    assert pair["verdict"].startswith("No difference can be told: more is +8.3 points against few (")
    assert pair["verdict"].endswith("one of 20.5. Nor are they shown to be equal within 2.5 points.")
    assert "equivalence" not in compare([few, more])["comparisons"][0]


def test_several_tests_of_equality_are_corrected_for_their_number() -> None:
    many = question_rows(400)
    control, near, far = (
        in_memory(name, many, lambda seed, i, right=right: i < right)
        for name, right in (("control", 200), ("near", 202), ("far", 206))
    )
    first, second = compare([control, far, near], within=3)["comparisons"]
    assert second["equivalence"]["p"] < first["equivalence"]["p"] < 0.05
    assert second["equivalence"]["p_holm"] == pytest.approx(2 * second["equivalence"]["p"])
    assert first["equivalence"]["p_holm"] == pytest.approx(first["equivalence"]["p"])


@pytest.mark.parametrize("points", ["0", "-1", "100", "nan", "two", "inf"])
def test_points_that_are_none_are_refused(points: str) -> None:
    told = f"--within: found '{points}'; allowed is a number of points above 0 and below 100"
    assert refusal("few", "workspace", f"--within={points}") == told


def test_flips_of_paired_seeds_are_counted_by_seed_and_of_others_by_every_pair() -> None:
    one = in_memory("one", TWELVE, lambda seed, i: i < 3 + seed)  # 4, 5 and 6 right
    two = in_memory("two", TWELVE, lambda seed, i: 2 <= i < 5)  # in every seed the same 3
    (pair,) = compare([one, two])["comparisons"]
    # lost: 0 and 1, and those from 5 on: 2, 2 and 3; won: 4 in seed 1 alone
    assert pair["seed_flips"] == {"right_to_wrong": pytest.approx(7 / 3), "wrong_to_right": 1 / 3, "pairs": 3}
    three = in_memory("three", TWELVE, lambda seed, i: 2 <= i < 3 + seed, seeds=(1, 2))  # 2 to 3, and 2 to 4
    (pair,) = compare([one, three])["comparisons"]
    # of 4, 5 and 6 right, against the first 2, 3 and 4 lost; against the second 2, 2 and 3, and 1 won
    assert pair["seed_flips"] == {"right_to_wrong": 16 / 6, "wrong_to_right": 1 / 6, "pairs": 6}
    assert "  a seed       0.2 from wrong to right, 2.7 from right to wrong, mean of 6 pairs of students\n" in as_text(
        compare([one, three])
    )


def test_the_questions_whose_majority_answer_flipped_are_listed(project: Project, capsys) -> None:
    project.commit("few", ASKED, lines(prediction_rows(TWELVE, lambda seed, i: i < 2 + seed)))  # 0 to 3 of most seeds
    project.put(ASKED, lines(prediction_rows(TWELVE, lambda seed, i: seed != 1 and 3 <= i < 6)))
    run_command("few", "workspace", "--flips", "--json")
    (pair,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert (pair["mcnemar"]["only_control"], pair["mcnemar"]["only_other"]) == (3, 2)
    found = [(flip["direction"], flip["id"], flip["control"], flip["other"]) for flip in pair["flips"]]
    assert found == [
        ("right_to_wrong", "q0000", "cause 0", "cause 1"),
        ("right_to_wrong", "q0001", "cause 1", "cause 2"),
        ("right_to_wrong", "q0002", "cause 2", "cause 3"),
        ("wrong_to_right", "q0004", "cause 1", "cause 0"),
        ("wrong_to_right", "q0005", "cause 2", "cause 1"),
    ]
    assert pair["flips"][3] | {"gold": "cause 0", "question": "Case 4?"} == pair["flips"][3]
    run_command("few", "workspace", "--flips")
    assert capsys.readouterr().out.endswith(
        """
  right in few, wrong in workspace, by the majority of seeds: 3
  id     question  gold     few      workspace
  q0000  Case 0?   cause 0  cause 0  cause 1
  q0001  Case 1?   cause 1  cause 1  cause 2
  q0002  Case 2?   cause 2  cause 2  cause 3

  wrong in few, right in workspace, by the majority of seeds: 2
  id     question  gold     few      workspace
  q0004  Case 4?   cause 0  cause 1  cause 0
  q0005  Case 5?   cause 1  cause 2  cause 1
"""
    )


def free_run(name: str, written: dict[str, list[str]]) -> Run:
    """A run in free text: by question's id what each seed wrote; the gold answer is 4."""
    asked = [{"id": key, "question": f"{'How many are there? ' * 9}", "choices": [], "answer": "4"} for key in written]
    rows = [
        {"seed": seed, "id": key, "gold": "4", "choice": None, "scores": [], "text": text, "matched": text == "4"}
        for key, texts in written.items()
        for seed, text in enumerate(texts, start=1)
    ]
    return parse_run(name, parse_questions(asked, name), rows)


def test_of_free_text_the_flips_show_what_most_seeds_wrote_and_no_line_is_wide() -> None:
    one = free_run("one", {"a": ["4", "4", "3"], "b": ["7", "5", "5"], "c": ["4", "4", "4"]})
    two = free_run("two", {"a": ["2", "4", "2"], "b": ["4", "\x1b[2J" + 99 * "x", "4"], "c": ["4", "1", "4"]})
    compared = compare([one, two], flips=True)
    found = [(flip["id"], flip["gold"], flip["control"], flip["other"]) for flip in compared["comparisons"][0]["flips"]]
    assert found == [("a", "4", "4", "2"), ("b", "4", "5", "4")]
    shown = as_text(compared).partition("by the majority of seeds")[2]
    assert max(map(len, shown.splitlines())) < 120
    assert re.search(r"^  a   How many are there\? How many are the\.\.\.  4     4    2$", shown, re.MULTILINE), shown


def test_an_experiment_and_a_commit_are_found_by_name(project: Project, capsys) -> None:
    base = project.commit("few", ASKED, FEW)
    tip = project.commit("other", ASKED, MORE)
    git(project.folder, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/both-teachers", tip)
    git(project.folder, "checkout", "-q", "few")
    git(project.folder, "branch", "-q", "-D", "other")
    run_command(base[:10], "both-teachers")
    assert "both-teachers is better by 52.8 points" in capsys.readouterr().out


def test_it_runs_from_a_folder_below(project: Project, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    project.commit("few", ASKED, FEW)
    project.put(ASKED, MORE)
    monkeypatch.chdir(project.folder / "data" / "questions")
    run_command("few", "workspace")
    assert "workspace is better by 52.8 points" in capsys.readouterr().out


def test_several_runs_are_corrected_for_their_number() -> None:
    few, some, more = (
        in_memory(name, TWELVE, lambda seed, i, base=base: i < base + seed)
        for name, base in (("few", 2), ("some", 4), ("more", 9))
    )
    compared = compare([few, more, some])
    first, second = compared["comparisons"]
    for test in ("difference", "mcnemar"):
        assert first[test]["p"] < second[test]["p"]
        assert first[test]["p_holm"] == pytest.approx(2 * first[test]["p"])
        assert second[test]["p_holm"] == pytest.approx(max(second[test]["p"], 2 * first[test]["p"]))
    assert first["verdict"].startswith("more is better than few by 58.3 points (")
    assert re.search(r"p 0\.\d{4} \(Holm p 0\.\d{4}\)", as_text(compared))


def test_what_does_not_outlast_the_correction_is_not_told() -> None:
    forty = question_rows(40)
    control, *others = (
        in_memory(name, forty, lambda seed, i, right=right: i < right)
        for name, right in (("control", 15), ("near", 20), ("alike", 20), ("far", 25))
    )
    near, alike, far = compare([control, *others])["comparisons"]
    for pair in (near, alike):
        # squares 5 - 25/40, and 1/3; root of 4.708333 / 39 / 40 is 0.054938; 0.125 over it is 2.2753 on 39
        assert pair["difference"]["p"] == pytest.approx(2 * student.sf(2.2753, 39), abs=1e-5)
        assert pair["difference"]["p_holm"] == pytest.approx(2 * pair["difference"]["p"])
        assert pair["difference"]["p"] < 0.05 < pair["difference"]["p_holm"]
        assert pair["verdict"].startswith("No difference can be told among 3 comparisons: ")
    assert far["verdict"].startswith("far is better than control by 25.0 points (")


def test_other_seeds_are_paired_by_question_and_said_to_be() -> None:
    few = in_memory("few", TWELVE, lambda seed, i: i < 2 + seed)
    out = as_text(compare([few, in_memory("one", TWELVE, lambda seed, i: i < 10, seeds=[7])]))
    assert "one against few: 12 questions, paired by question\n" in out
    assert "few has seeds 1, 2, 3 and one has seed 7: paired by question only, on the mean over seeds\n" in out
    assert "one has one seed: the interval says nothing of its other seeds\n" in out
    assert re.search(r"^one +83\.3 .* - \(seed 7\)$", out, re.MULTILINE)
    assert "95% t interval over questions and seeds +" in out


def test_an_interval_of_single_seeds_is_not_said_to_be_over_seeds() -> None:
    one, two = (in_memory(name, TWELVE, lambda seed, i, n=n: i < n, seeds=[7]) for name, n in (("one", 3), ("two", 10)))
    assert "points, 95% t interval over questions +" in as_text(compare([one, two]))


def test_rows_and_questions_in_another_order_are_the_same_run() -> None:
    rows = [json.loads(line) for line in MORE.splitlines()]
    orders = ((TWELVE, rows), (TWELVE[::-1], rows[::-1]))
    runs = [parse_run(f"{order}", parse_questions(asked, "toys"), given) for order, (asked, given) in enumerate(orders)]
    (pair,) = compare(runs)["comparisons"]
    assert (pair["difference"]["value"], pair["mcnemar"]["only_control"], pair["mcnemar"]["only_other"]) == (0, 0, 0)
    assert runs[0].right.tolist() == runs[1].right.tolist()
    assert runs[0].right.sum(axis=1).tolist() == [10, 10, 11]


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_other_questions_are_refused_with_their_number_and_the_first_of_them(project: Project) -> None:
    project.commit("few", ASKED, FEW)
    shorter = [*TWELVE[:8], TWELVE[8] | {"id": "new"}]
    project.put(lines(shorter), lines(prediction_rows(shorter, lambda seed, i: True)))
    assert refusal("few", "workspace") == (
        "few and workspace answer different questions: 4 only in few ('q0008', 'q0009', 'q0010', ...); "
        "1 only in workspace ('new'); only runs on the same test questions can be compared"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": 3}, "answer"),
        ({"choices": ["cause 0", "cause 1", "cause 2", "else"]}, "choices"),
        ({"question": "Which?", "context": "Of old."}, "question and context"),
    ],
)
def test_the_same_id_with_another_question_is_refused(change: dict, told: str) -> None:
    changed = [*TWELVE[:6], TWELVE[6] | change, *TWELVE[7:]]
    with pytest.raises(ValueError) as caught:
        compare([in_memory(name, rows, lambda seed, i: True) for name, rows in (("old", TWELVE), ("new", changed))])
    assert str(caught.value) == (
        f"old and new answer different questions: 1 of 12 differ in {told} under the same id ('q0006'); "
        "only runs on the same test questions can be compared"
    )


def test_an_unknown_name_is_told_with_those_near_it(project: Project) -> None:
    base = project.commit("few", ASKED, FEW)
    git(project.folder, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/answers-only", base)
    told = "no experiment, branch or commit of that name"
    assert refusal("few", "answer-only") == f"answer-only: {told}; did you mean answers-only?"
    assert refusal("few", "workspce") == f"workspce: {told}; did you mean workspace?"
    assert refusal("xyz", "few") == f"xyz: {told}; `dvc exp list -A` and `git branch` list what there is"


def test_a_run_named_twice_is_refused(project: Project) -> None:
    assert refusal("few", "few") == "few: named twice; every run is compared with the control once"


@pytest.mark.parametrize(("file", "text"), [(PREDICTIONS, FEW), (QUESTIONS, ASKED)])
def test_what_is_not_in_the_cache_is_told_with_the_remedy(project: Project, file: str, text: str) -> None:
    project.commit("few", ASKED, FEW)
    project.kept(text).unlink()
    message = refusal("few", "workspace")
    assert message.startswith(f"few: {file} is not in DVC's cache; `dvc fetch --all-commits` ")
    assert message.endswith("else check it out and run `dvc repro`")


def test_a_damaged_file_in_the_cache_is_told_and_stays(project: Project) -> None:
    project.commit("few", ASKED, FEW)
    path = project.kept(FEW)
    path.write_text(FEW[:-300], encoding="utf-8")
    message = refusal("few", "workspace")
    assert f"few: {PREDICTIONS} is damaged in DVC's cache; delete {path.relative_to(project.folder)}, then" in message
    assert path.exists()


def test_a_commit_without_predictions_is_told(project: Project) -> None:
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "bare")
    project.put(ASKED, FEW)
    assert refusal("main", "workspace") == (
        f"main: its dvc.lock has no {QUESTIONS}; check it out and run `dvc repro` there"
    )


def test_a_workspace_without_predictions_is_told(project: Project) -> None:
    project.commit("few", ASKED, FEW)
    (project.folder / PREDICTIONS).unlink()
    assert refusal("few", "workspace") == (
        f"workspace: {PREDICTIONS}: no such file; `dvc repro` makes it, `dvc checkout` brings it back"
    )


# --- the record of what was used ------------------------------------------------------------------------------------


def lock_params(project: Project, alpha: float) -> None:
    """Let dvc.lock name this weight as the one that the students were scored with, and commit that."""
    lock = project.folder / "dvc.lock"
    named = f"    params:\n      params.yaml:\n        loss:\n          alpha: {alpha}\n"
    lock.write_text(lock.read_text(encoding="utf-8") + named, encoding="utf-8")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "record")


@pytest.mark.parametrize(("used", "refused"), [(5.5, False), (0.0, True)])
def test_a_commit_whose_lock_names_what_was_not_used_is_refused(project: Project, used: float, refused: bool) -> None:
    project.commit("first", ASKED, FEW)
    project.commit("second", ASKED, MORE)
    write_record("score", {"loss": {"alpha": used}})
    lock_params(project, 5.5)
    if not refused:
        return run_command("second", "first")
    assert refusal("second", "first") == (
        "second: score was run with loss.alpha 0.0, and its dvc.lock has 5.5; remove it, and run it again"
    )


@pytest.mark.parametrize(("has", "refused"), [(5.5, False), (0.0, True)])
def test_a_workspace_of_other_params_is_refused(project: Project, has: float, refused: bool) -> None:
    project.commit("few", ASKED, MORE)
    project.put(ASKED, FEW)
    values = {"corpus": {"teachers": []}, "train": {"seeds": []}, "loss": {"alpha": has}}
    write_json("params.yaml", values)
    for stage in stages_of(values):
        write_record(stage, {"loss.alpha": 5.5})
    if not refused:
        return run_command("few", "workspace")
    assert refusal("few", "workspace") == (
        "metrics/used/download.json: download was run with loss.alpha 5.5, and params.yaml has 0.0; "
        "run dvc repro, with --force where it finds nothing to do"
    )


def test_a_folder_without_a_project_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    message = refusal("few", "workspace")
    assert "not inside of a DVC repository" in message and message.endswith("run it inside the project's folder")


def edited(row: int, **change: object) -> str:
    rows = [json.loads(line) for line in FEW.splitlines()]
    rows[row - 1] = {key: value for key, value in (rows[row - 1] | change).items() if value is not None}
    return lines(rows)


@pytest.mark.parametrize(
    ("predictions", "told"),
    [
        ("", "data/predictions.jsonl: no predictions; run `dvc repro`"),
        (
            "".join(FEW.splitlines(keepends=True)[:-2]),
            "data/predictions.jsonl: seed 3 has no answer to 2 of 12 questions of data/questions/test.jsonl "
            "('q0010', 'q0011'); run `dvc repro`",
        ),
        (FEW + FEW.splitlines()[4], "data/predictions.jsonl:37: seed 1 answers 'q0004' twice; run `dvc repro`"),
        (
            edited(2, id="odd"),
            "data/predictions.jsonl:2: no question 'odd' in data/questions/test.jsonl; run `dvc repro`",
        ),
        (edited(2, gold=3), "data/predictions.jsonl:2: gold 3, but 1 in data/questions/test.jsonl; run `dvc repro`"),
        (edited(2, choice=4), "data/predictions.jsonl:2: choice 4, but 4 options (0-3); run `dvc repro`"),
        (edited(2, choice=-1), "data/predictions.jsonl:2: choice -1, but 4 options (0-3); run `dvc repro`"),
        (edited(2, choice=True), "data/predictions.jsonl:2: choice is True; it has to be of type int; run `dvc repro`"),
        (edited(2, seed=None), "data/predictions.jsonl:2: seed is None; it has to be of type int; run `dvc repro`"),
        (
            edited(2, scores=[-1, -2]),
            "data/predictions.jsonl:2: scores [-1, -2]; allowed are 4 numbers; run `dvc repro`",
        ),
        (
            edited(2, scores=[-1, "x", 0, 0]),
            "data/predictions.jsonl:2: scores [-1, 'x', 0, 0]; allowed are 4 numbers; run `dvc repro`",
        ),
    ],
)
def test_faulty_predictions_are_told_by_file_and_row(predictions: str, told: str) -> None:
    rows = [json.loads(line) for line in predictions.splitlines()]
    with pytest.raises(ValueError) as caught:
        parse_run("few", parse_questions(TWELVE, "toys"), rows)
    assert str(caught.value) == told


def test_a_workspace_file_that_was_cut_off_is_told_by_its_line(project: Project) -> None:
    project.put(ASKED, FEW[:-10])
    assert refusal("workspace", "few").startswith("workspace: data/predictions.jsonl:36: not JSON")


def test_a_fault_in_the_cache_names_the_projects_file_and_the_run(project: Project) -> None:
    project.commit("few", ASKED, FEW[:-10])
    project.put(ASKED, FEW)
    assert refusal("workspace", "few").startswith("few: data/predictions.jsonl:36: not JSON")


# --- as it is used --------------------------------------------------------------------------------------------------

SCORE = """
import json, sys
rate = {"1.0": 80, "0.0": 60}[sys.argv[1]]
questions = [json.loads(line) for line in open("data/questions/test.jsonl")]
with open("data/predictions.jsonl", "w") as file:
    for seed in (1, 2, 3):
        for i, question in enumerate(questions):
            choice = question["answer"] if (37 * i + seed) % 100 < rate else (question["answer"] + 1) % 4
            scores = [-0.5 if k == choice else -2.0 for k in range(4)]
            row = {"seed": seed, "id": question["id"], "gold": question["answer"], "choice": choice, "scores": scores}
            file.write(json.dumps(row) + "\\n")
"""
PIPELINE = """
stages:
  download:
    cmd: python download.py
    outs:
      - data/questions/test.jsonl
  score:
    cmd: python score.py ${loss.alpha}
    deps:
      - data/questions/test.jsonl
    params:
      - loss.alpha
    outs:
      - data/predictions.jsonl
"""


@pytest.mark.slow
def test_an_experiment_of_dvc_is_compared_with_the_workspace_in_a_few_seconds(project: Project) -> None:
    asked = lines(question_rows(600))
    download = f"import pathlib\npathlib.Path({QUESTIONS!r}).write_text({asked!r})\n"
    files = {"dvc.yaml": PIPELINE, "params.yaml": "loss:\n  alpha: 1.0\n", "score.py": SCORE, "download.py": download}
    for name, text in files.items():
        (project.folder / name).write_text(text, encoding="utf-8")
    (project.folder / "data/questions").mkdir(parents=True)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    identity = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    root = str(Path(__file__).resolve().parents[2])

    def ran(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **identity, "PATH": path, "PYTHONPATH": root}
        return subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=True)

    ran("dvc", "repro", "-q")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "-m", "all")
    ran("dvc", "exp", "run", "-q", "-n", "answers-only", "-S", "loss.alpha=0.0")
    git(project.folder, "checkout", "-q", ".")
    ran("dvc", "checkout", "-q")

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = ran(sys.executable, "-c", COMMAND, "compare", "answers-only", "workspace").stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "\n  workspace is better by 20.0 points (" in out
    # of the processor's time, since what else the machine does is no matter; a slow one takes twice a fast one's
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 6.0
    assert git(project.folder, "status", "--porcelain") == ""
