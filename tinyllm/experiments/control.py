"""The control of a run: an experiment of the same code, questions and values that learnt from answers alone.

It is found by what dvc.lock says was used, and not by a name. What only teachers bring in does not shape it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tinyllm.experiments.compare import SIGNIFICANT, compare
from tinyllm.experiments.dvc_experiments import git, read_blobs
from tinyllm.experiments.locked import locked_code, locked_params, locked_values
from tinyllm.experiments.runs import WORKSPACE, read_commits, read_runs
from tinyllm.records.reading import read_text
from tinyllm.records.surroundings import Control, State

LOCK = Path("dvc.lock")
OF_TEACHERS = (
    *("corpus.", "teachers.", "prompt.", "loss.alpha", "loss.teacher_alpha", "loss.kd", "student.target"),
    *("score.voices", "score.samples", "score.temperature"),
)
NAME = "answers"


def find_control() -> Control:
    """Compare the run in this folder with the latest control among DVC's experiments."""
    lock = read_text(LOCK) if LOCK.is_file() else ""
    used, experiments = locked_params(lock), list_experiments()
    found: Control = {
        "state": "none",
        "command": control_command(used, experiments.values()),
        "name": "",
        "value": 0.0,
        "low": 0.0,
        "high": 0.0,
        "why": "",
    }
    if used and answers_alone(used):
        found["state"] = "itself"
    elif used:
        locks = read_blobs([f"{commit}:./dvc.lock" for commit in experiments])
        for (commit, name), theirs in zip(experiments.items(), locks, strict=True):
            if not is_control(theirs or "", lock, used):
                continue
            try:
                return _against(name, commit, found)
            except ValueError as error:  # such as files that left DVC's cache; an older control may have its own
                found["state"], found["why"] = "unread", found["why"] or str(error)
    return found


def list_experiments() -> dict[str, str]:
    """Return DVC's experiments by commit, the latest first; without git there are none."""
    try:
        listed = git("for-each-ref", "--sort=-committerdate", "--format=%(objectname) %(refname)", "refs/exps/")
    except (OSError, ValueError):
        return {}
    pairs = (line.partition(" ") for line in listed.splitlines())
    # refs/exps/XX/REST/NAME; those of running experiments, such as refs/exps/exec/EXEC_HEAD, are shorter
    return {commit: name.split("/", 4)[4] for commit, _, name in pairs if name.count("/") >= 4}


def is_control(theirs: str, ours: str, used: Mapping[str, Any]) -> bool:
    """Whether a run learnt from answers alone and is else of the same code, test questions and values.

    Args:
        theirs: its dvc.lock
        ours: the dvc.lock of the run that is to be compared
        used: what that says of values
    """
    seeds = used["train.seeds"]
    trained = locked_values(
        theirs, f"train@{seeds[0]}"
    )  # first, since most experiments are none, and there may be many
    if not trained or not answers_alone(trained):
        return False
    whole = locked_params(theirs)
    if not answers_alone(whole) or _shared(whole) != _shared(used):
        return False
    return all(locked_code(theirs, seed) == locked_code(ours, seed) for seed in seeds)


def answers_alone(used: Mapping[str, Any]) -> bool:
    """Whether a run had no teacher, or none that anything was learnt from, such as answers in place of gold ones."""
    if used.get("corpus.answers") == "teachers":
        return False
    if not used["corpus.teachers"]:
        return True
    weights = [used.get(f"loss.teacher_alpha.{name}", used["loss.alpha"]) for name in used["corpus.teachers"]]
    return not any(weights) and not used.get("loss.kd")


def control_command(used: Mapping[str, Any], names: Collection[str]) -> str:
    """Return the command that runs a control of a run, under a name that no experiment has."""
    numbered = (NAME if number == 1 else f"{NAME}-{number}" for number in range(1, len(names) + 2))
    name = next(name for name in numbered if name not in names)
    weights = [key for key, value in used.items() if key.startswith(("loss.teacher_alpha.", "loss.kd")) and value]
    changes = [f"{key}=0.0" for key in ["loss.alpha", *weights]]
    if used.get("student.target") == "rationale_then_answer":  # such a student cannot learn without rationales
        changes.append("student.target=multitask")
    if used.get("score.voices", "auto") not in ("auto", "direct"):  # it has no voices
        changes.append("score.voices=auto")
    if used.get("score.samples", 1) > 1:
        changes.append("score.samples=1")
    if used.get("corpus.answers") == "teachers":
        changes.append("corpus.answers=gold")
    return " ".join([f"dvc exp run --temp -n {name}", *(f"-S {change}" for change in changes)])


def _shared(used: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in used.items() if not key.startswith(OF_TEACHERS)}


def _against(name: str, commit: str, found: Control) -> Control:
    """The run in this folder minus the control, as `tinyllm compare` has it."""
    pair = compare([read_commits({name: commit})[name], *read_runs([WORKSPACE])])["comparisons"][0]
    gain = pair["difference"]
    state: State = "open" if gain["p"] >= SIGNIFICANT else "better" if gain["value"] > 0 else "worse"
    return {**found, "state": state, "name": name, "value": gain["value"], "low": gain["low"], "high": gain["high"]}
