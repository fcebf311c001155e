"""Word problems of one and two steps, and what two recorded teachers say of them: a free-text set to copy.

By hand: python examples/arithmetic/make.py FOLDER
Writes FOLDER/{train,valid,test}.jsonl and FOLDER/rationales/{steps,sums}.jsonl; the same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ERROR_RATE = 0.1  # how often `sums` comes to a wrong number
DECLINE_RATE = 0.1  # how often `sums` has nothing to say
NAMES = "Ann Ben Cleo Dan Eva Finn Gus Hana Ivo June Kai Lea Max Nora Otto Pia Ravi Sue Tom Uma".split()
THINGS = "apples books cups eggs keys nuts pens plums rings shells stamps stones".split()

# By kind: the problem; what was there, what came and what went makes its numbers.
PROBLEMS = {
    "more": "{name} has {start} {things} and gets {came} more. How many {things} does {name} have now?",
    "fewer": "{name} has {start} {things} and gives away {went}. How many {things} does {name} have now?",
    "both": "{name} has {start} {things}, gets {came} more and gives away {went}. How many {things} does {name} have now?",
}


@dataclass(frozen=True)
class Problem:
    """What happens in a problem; `came` or `went` is 0 where nothing did."""

    name: str
    things: str
    start: int
    came: int
    went: int

    @property
    def text(self) -> str:
        kind = "fewer" if not self.came else "both" if self.went else "more"
        return PROBLEMS[kind].format(**vars(self))

    @property
    def result(self) -> int:
        return self.start + self.came - self.went


def draw(rng: random.Random, largest: int) -> Problem:
    """Return a problem in which no number passes `largest` and something is left."""
    kind = rng.choice(list(PROBLEMS))
    start = rng.randint(2, largest if kind == "fewer" else largest - 1)
    came = 0 if kind == "fewer" else rng.randint(1, largest - start)
    went = 0 if kind == "more" else rng.randint(1, start + came - 1)
    return Problem(rng.choice(NAMES), rng.choice(THINGS), start, came, went)


def steps(problem: Problem) -> str:
    """The teacher who writes out every step, and never errs."""
    now = problem.start
    said = [f"{problem.name} starts with {now} {problem.things}."]
    if problem.came:
        said.append(f"With {problem.came} more, {now} becomes {now + problem.came}.")
        now += problem.came
    if problem.went:
        said.append(f"Without {problem.went}, {now} becomes {now - problem.went}.")
    return " ".join([*said, f"The answer is {problem.result}."])


def sums(problem: Problem, rng: random.Random) -> str | None:
    """The teacher who puts all into one sum; it errs and declines at the rates above."""
    chance, wrong = rng.random(), problem.result + rng.choice((-1, 1))
    if chance < DECLINE_RATE:
        return None
    found = wrong if chance < DECLINE_RATE + ERROR_RATE else problem.result
    parts = [f"plus {problem.came}"] * (problem.came > 0) + [f"minus {problem.went}"] * (problem.went > 0)
    return f"The {problem.things} are {problem.start} {' '.join(parts)}, so the answer is {found}."


def make(folder: Path, counts: dict[str, int], largest: int, seed: int) -> None:
    """Write the set; no problem stands there twice."""
    rng = random.Random(f"arithmetic {seed}")
    taken: set[str] = set()
    told: dict[str, list[dict]] = {"steps": [], "sums": []}
    for split in ("test", "valid", "train"):
        problems: list[Problem] = []
        while len(problems) < counts[split]:
            problem = draw(rng, largest)
            if problem.text not in taken:
                taken.add(problem.text)
                problems.append(problem)
        ids = [f"{split}-{number:04}" for number in range(1, len(problems) + 1)]
        rows = zip(ids, problems, strict=True)
        write(
            folder / f"{split}.jsonl",
            ({"id": id_, "question": problem.text, "answer": problem.result} for id_, problem in rows),
        )
        if split != "test":  # a student answers those alone
            told["steps"] += [{"id": i, "rationale": steps(one)} for i, one in zip(ids, problems, strict=True)]
            told["sums"] += [{"id": i, "rationale": sums(one, rng)} for i, one in zip(ids, problems, strict=True)]
    for teacher, rationales in told.items():
        write(folder / f"rationales/{teacher}.jsonl", rationales)
    print(
        f"{folder}: {', '.join(f'{split} {count}' for split, count in counts.items())}; rationales of {', '.join(told)}"
    )


def write(path: Path, rows: Iterable[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for split, count in (("train", 1000), ("valid", 200), ("test", 400)):
        parser.add_argument(f"--{split}", type=int, default=count, help=f"problems in {split}; without it {count}")
    parser.add_argument("--largest", type=int, default=12, help="of all numbers; without it 12")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    make(
        given.folder, {split: getattr(given, split) for split in ("train", "valid", "test")}, given.largest, given.seed
    )
