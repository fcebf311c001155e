"""Does learning from several teachers help in casebook? Every arm, several worlds and seeds, the control tuned on valid.

    python -m experiments.casebook            # train what is missing, write experiments/casebook.json, print the table
    python -m experiments.casebook --table    # print the table of the results as they are

Runs are kept in .cache/casebook.jsonl, one line each as it ends, under all their settings: interrupted, it goes on where it
stopped. The control, answers only, gets the best of a grid of epochs, dropout and learning rate, by its accuracy on valid
over all worlds; the other arms train as params.yaml says. Test is looked at only with the settings that were chosen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinyllm.casebook import rule_teachers as expert
from tinyllm.casebook import words as casebook_phrases
from tinyllm.casebook import world as casebook
from tinyllm.evaluation.intervals import mean_interval
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import write_json

WORLDS = (1, 2, 3)
SEEDS = (1, 2, 3, 4, 5)
TUNING_SEED = 101  # none of SEEDS: what was chosen by a seed must not be judged by it
ARMS = {
    "both teachers": ("signs", "care"),
    "signs alone": ("signs",),
    "care alone": ("care",),
    "answers only": (),
}
GRID = {"epochs": (24, 48), "dropout": (0.0, 0.1), "learning_rate": (0.0005, 0.001, 0.002)}
RUNS = Path(".cache/casebook.jsonl")
RESULT = Path("experiments/casebook.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="train nothing")
    if not parser.parse_args().table:
        params = load_params()
        chosen = choose_settings(params)
        runs = [
            job(world, arm, seed, chosen if arm == "answers only" else {})
            for world, arm, seed in product(WORLDS, ARMS, SEEDS)
        ]
        write_json(RESULT, {"answers_only_settings": chosen, "runs": train_all(params, runs)})
    print(table(json.loads(RESULT.read_text(encoding="utf-8"))["runs"]))


def job(world: int, arm: str, seed: int, settings: dict) -> dict:
    return {"world": world, "arm": arm, "seed": seed, "settings": settings}


def choose_settings(params: Params) -> dict:
    """Return the control's settings with the best accuracy on valid, over all worlds."""
    grid = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    tried = train_all(params, [job(w, "answers only", TUNING_SEED, settings) for settings in grid for w in WORLDS])
    return max(grid, key=lambda s: np.mean([run["valid"] for run in tried if run["settings"] == s]))


def train_all(params: Params, jobs: list[dict]) -> list[dict]:
    """Return the jobs with their results, training in parallel those that no earlier call has finished."""
    keys = [key_of(params, one) for one in jobs]
    RUNS.parent.mkdir(exist_ok=True)
    done = {row["key"]: row["run"] for row in map(json.loads, _whole_lines())}
    missing = [i for i, key in enumerate(keys) if key not in done]
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool, RUNS.open("a", encoding="utf-8") as file:
        started = {pool.submit(train_one, params, jobs[i]): keys[i] for i in missing}
        for future in tqdm(as_completed(started), total=len(started), unit="run", disable=not sys.stderr.isatty()):
            done[started[future]] = future.result()
            file.write(json.dumps({"key": started[future], "run": future.result()}) + "\n")
            file.flush()
    return [done[key] for key in keys]


def key_of(params: Params, one: dict) -> str:
    """All that a run depends on: its job, the params, the world's words and the teachers' rules."""
    files = (casebook.__file__, casebook_phrases.__file__, expert.__file__)
    sources = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
    return json.dumps({**one, "params": params.model_dump(exclude={"runtime"}), "sources": sources}, sort_keys=True)


def _whole_lines() -> list[str]:
    """The lines of RUNS; one that was cut off in the writing is taken out of the file, so that the next starts afresh."""
    text = RUNS.read_text(encoding="utf-8") if RUNS.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        RUNS.write_text(whole, encoding="utf-8")
    return whole.splitlines()


def train_one(params: Params, one: dict) -> dict:
    """Train and judge one student with the pipeline's own functions."""
    from tinyllm.casebook.world import World, make_splits
    from tinyllm.corpus.assemble import assemble
    from tinyllm.models.device import prepare_torch
    from tinyllm.student.predict import predict
    from tinyllm.teachers.open import open_teacher, rationale_rows
    from tinyllm.training.train import train_student

    prepare_torch(params.train.threads)
    teachers = ARMS[one["arm"]]
    params = params.model_copy(
        update={
            "corpus": params.corpus.model_copy(update={"teachers": teachers}),
            "train": params.train.model_copy(update=one["settings"]),
        }
    )
    splits = make_splits(World(seed=one["world"], **params.data.casebook.model_dump()))
    rationales = {}
    for teacher in teachers:
        completions = open_teacher(teacher, params, splits["train"]).complete(splits["train"])
        rows = rationale_rows(splits["train"], completions, None)
        rationales[teacher] = dict(zip(splits["train"], rows, strict=True)).get
    corpus = [judged.row for judged in assemble({"train": splits["train"]}, rationales, params.corpus.audit)]
    with tempfile.TemporaryDirectory() as work:
        trained = train_student(params, one["seed"], corpus, splits["valid"], Path(work))
    run = {**one, "valid": trained.metrics["valid_accuracy"], "best_epoch": trained.metrics["best_epoch"]}
    if one["seed"] != TUNING_SEED:
        rows = predict(trained.model, splits["test"], params)
        run["test"] = round(float(np.mean([row["choice"] == row["gold"] for row in rows])), 4)
    return run


def table(runs: list[dict]) -> str:
    """Return the results as a Markdown table: accuracy by arm, and what both teachers gain over it."""
    accuracy = {(run["arm"], run["world"], run["seed"]): run["test"] for run in runs}
    both = next(iter(ARMS))
    lines = [
        f"| learnt from | accuracy | {' | '.join(f'world {w}' for w in WORLDS)} | both teachers gain | 95% interval |",
        "|---" * (4 + len(WORLDS)) + "|",
    ]
    for arm in ARMS:
        values = {w: [accuracy[arm, w, s] for s in SEEDS] for w in WORLDS}
        cells = [f"{100 * np.mean(list(values.values())):.1f}"] + [f"{100 * np.mean(values[w]):.1f}" for w in WORLDS]
        if arm == both:
            cells += ["", ""]
        else:
            gains = [np.mean([accuracy[both, w, s] - accuracy[arm, w, s] for s in SEEDS]) for w in WORLDS]
            low, high = mean_interval([float(gain) for gain in gains])
            cells += [f"{100 * np.mean(gains):+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
