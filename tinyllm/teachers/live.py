"""A live teacher: a prompt for every question, its answer from the cache or the backend, each kept as it arrives.

`complete`, `examine` and `option_probabilities` go the same way: `build_prompts`, then `generate`. That takes from the cache
what is there and asks the backend for the rest.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tinyllm.cluster.experiment import ASK_SERVERS
from tinyllm.params.schema import Prompting
from tinyllm.params.teacher_entries import Price
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput
from tinyllm.teachers.budget import Bill, Budget
from tinyllm.teachers.cache.database import CacheFault, database_errors
from tinyllm.teachers.cache.entry import answer_key
from tinyllm.teachers.cache.ledger import Run
from tinyllm.teachers.cache.store import ResponseCache
from tinyllm.teachers.examples import choose_examples
from tinyllm.teachers.outputs import read_probabilities, sample_prompts, sampled_output
from tinyllm.teachers.progress import interruptible, query_progress
from tinyllm.teachers.prompts import Fitted, Shown, fit_prompt
from tinyllm.teachers.protocol import Backend, Failure, Generation, Prompt, Scored, UnderWay
from tinyllm.teachers.tokens import summable

WORKSPACE = Run("", "workspace")
Generate = Callable[[Sequence[Prompt | None]], Sequence[Generation | Failure]]

TOO_LONG = "question and options alone are longer than the teacher's context"


@dataclass
class QueryCounts:
    """How many prompts were in the cache, were answered, and failed."""

    cached: int = 0
    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # by reason

    def __str__(self) -> str:
        failed = ", ".join(f"{reason} {count}" for reason, count in self.failures.most_common())
        return f"{self.cached} answers from the cache, {self.answered} new" + (f"; failed: {failed}" if failed else "")


class CachedTeacher:
    """A live teacher behind the answer cache.

    Args:
        cache: the file of the answer cache.
        train: where in-context examples are drawn from, but for those of `unlabelled`.
        price: per million tokens; None costs nothing.
        max_cost: of all that the run's teachers are asked, in the price's currency; None is no limit.
        scorer: answers `Scored` prompts with a JSON list of log-likelihoods; None where the backend gives none.
        samples: rationales of one question; each is asked for and kept by itself.
        run: whose money is counted together.
        unlabelled: ids of questions whose gold answer no prompt may show.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        cache: Path,
        prompting: Prompting,
        train: Sequence[Question],
        price: Price | None,
        max_cost: float | None,
        scorer: Backend | None = None,
        samples: int = 1,
        run: Run = WORKSPACE,
        unlabelled: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.backend, self.scorer, self.cache = name, backend, scorer, cache
        self.prompting, self.unlabelled = prompting, unlabelled
        self.train = [question for question in train if question.id not in unlabelled]
        self.samples, self.run = samples, run
        self.used: dict[
            str, tuple[int, int] | None
        ] = {}  # by key the tokens of each answer, new or not; none of what failed
        self._money: dict[str, float] = {}  # by key what each answer cost
        self.budget = Budget(price, max_cost)
        self.counts = QueryCounts()

    def complete(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """Return a rationale for each question, and its further samples, shown the gold answer if the params say so.

        Raises:
            KeyboardInterrupt: at Ctrl-C, once what was under way is in the cache.
            ValueError: the cost would pass `max_cost`, or the backend cannot go on; every answer so far is in the cache.
        """
        return self._complete(questions, self.prompting.teacher_forcing, self.samples)

    def examine(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """Return the teacher's own reasoning and answer for each question; it is never shown the gold answer.

        Raises:
            KeyboardInterrupt, ValueError: as `complete`.
        """
        return self._complete(questions, forced=False, samples=1)

    def option_probabilities(self, questions: Sequence[Question]) -> list[list[float] | None]:
        """Return how likely the teacher finds each option's text right behind the prompt of its exam; None where that failed.

        Raises:
            KeyboardInterrupt, ValueError: as `complete`; or the backend gives no likelihoods.
        """
        if self.scorer is None:
            raise ValueError(
                f"teacher {self.name}: its backend cannot tell how likely it finds an option; "
                "set corpus.option_probabilities to false"
            )
        fitted = self.build_prompts(questions, forced=False, generate=self.generate)
        prompts = [
            fit.prompt and Scored(fit.prompt.system, fit.prompt.text, question.choices)
            for fit, question in zip(fitted, questions, strict=True)
        ]
        self.counts = QueryCounts()
        outcomes = self._generate(self.scorer, prompts)
        print(f"{self.name}, option probabilities: {self.counts}", file=sys.stderr, flush=True)
        return [read_probabilities(outcome) for outcome in outcomes]

    def _complete(self, questions: Sequence[Question], forced: bool, samples: int) -> list[TeacherOutput]:
        fitted = self.build_prompts(questions, forced, self.generate)
        outcomes = self.generate(sample_prompts(fitted, samples))
        print(f"{self.name}: {self.counts}", file=sys.stderr, flush=True)
        return [
            sampled_output(fit, outcomes[first : first + samples])
            for fit, first in zip(fitted, range(0, len(outcomes), samples), strict=True)
        ]

    def build_prompts(self, questions: Sequence[Question], forced: bool, generate: Generate) -> list[Fitted]:
        """Return the prompts as they will be sent, cut to the teacher's context.

        Args:
            forced: whether to show the gold answer of a question that keeps its own.
            generate: gives the examples their rationales, where prompt.example_rationales asks for them.
        """
        chosen = choose_examples(questions, self.train, self.prompting)
        bootstrap = self.prompting.example_rationales == "bootstrap"
        rationales = self._example_rationales(chosen, generate) if bootstrap else {}
        return [
            self._build_prompt(question, [(example, rationales.get(example.id)) for example in examples], forced)
            for question, examples in zip(questions, chosen, strict=True)
        ]

    def _example_rationales(self, chosen: Sequence[Sequence[Question]], generate: Generate) -> dict[str, str]:
        """Return the teacher's own zero-shot rationales of the examples, by id.

        A rationale that failed is left out, and so is one that states another answer than the gold one.
        """
        examples = list({example.id: example for row in chosen for example in row}.values())
        outcomes = generate([self._build_prompt(example, [], forced=True).prompt for example in examples])
        rationales = {}
        for example, outcome in zip(examples, outcomes, strict=True):
            written = outcome.text if isinstance(outcome, Generation) else ""
            rationale = parse_rationale(written, parse_question(example))
            if rationale.text and rationale.stated in (None, example.answer):
                rationales[example.id] = rationale.text
        return rationales

    def _build_prompt(self, question: Question, examples: Sequence[Shown], forced: bool) -> Fitted:
        forced = forced and question.id not in self.unlabelled
        context = self.backend.context_tokens
        limit = None if context is None else context - self.backend.max_new_tokens  # the longest answer must still fit
        return fit_prompt(question, examples, self.prompting, forced, self.backend.count_tokens, limit)

    def generate(self, prompts: Sequence[Prompt | None]) -> list[Generation | Failure]:
        """Return what became of every prompt. Equal prompts are asked once; None is a prompt that did not fit.

        Raises:
            KeyboardInterrupt, ValueError: as `complete`.
        """
        return self._generate(self.backend, prompts)

    def _generate(self, backend: Backend, prompts: Sequence[Prompt | None]) -> list[Generation | Failure]:
        keys = [None if prompt is None else answer_key(backend.identity, prompt, prompt.sample) for prompt in prompts]
        wanted = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key and prompt}
        with ResponseCache(self.cache) as cache:
            known: dict[str, Generation | Failure] = {**cache.get(list(wanted))}
            self.counts.cached += len(known)
            missing = {key: prompt for key, prompt in wanted.items() if key not in known}
            known |= self._generate_missing(backend, missing, cache, len(known))
        for key, outcome in known.items():
            self.used[key] = None
            if isinstance(outcome, Generation):
                tokens = summable(outcome.prompt_tokens), summable(outcome.completion_tokens)
                self.used[key] = tokens
                self._money[key] = min(self.budget.cost(*tokens), self._highest_cost(backend, wanted[key]))
        outcomes = [known[key] if key else Failure("too_long", TOO_LONG) for key in keys]
        self.counts.failures.update(outcome.reason for outcome in outcomes if isinstance(outcome, Failure))
        return outcomes

    def _generate_missing(
        self, backend: Backend, missing: Mapping[str, Prompt], cache: ResponseCache, cached: int
    ) -> dict[str, Generation | Failure]:
        """Ask for what the cache lacks, by key, and keep each answer as it arrives.

        Args:
            cached: answers that were there, for what is shown.
        """
        if not missing:
            return {}
        if os.environ.get(ASK_SERVERS) == "no" and backend.identity["backend"] != "local":
            raise ValueError(
                f"{self.name}: the answer cache lacks {len(missing)} answers, and a node of a cluster asks no server; run "
                "the same with `dvc exp run --temp ... query` where the sweep starts, then sweep again"
            )
        keys, prompts = list(missing), list(missing.values())
        highest = [self._highest_cost(backend, prompt) for prompt in prompts]
        bill = Bill(self.budget, cache.ledger(self.run, self.name), keys, highest)
        outcomes: dict[str, Generation | Failure] = {}
        with interruptible() as stopped, query_progress(self.name, len(prompts), cached, self.budget) as show:

            def reserve(index: int) -> bool:
                with database_errors(cache.path):
                    return not stopped() and bill.reserve(index)

            try:
                with closing(backend.generate(prompts, reserve)) as replies:  # here, and not when it is cleared away
                    for index, outcome in replies:
                        with cache.atomically():
                            outcome = self._keep(backend, cache, bill, index, keys[index], prompts[index], outcome)
                        outcomes[keys[index]] = outcome
                        show(outcome)
            except (UnderWay, CacheFault):
                raise
            except ValueError:  # it ended by itself: nothing is under way
                with cache.atomically():
                    bill.release()
                raise
        if stopped():
            raise KeyboardInterrupt
        if len(outcomes) < len(prompts):
            raise ValueError(
                f"runtime.max_cost: {self.budget.limit}, of which {bill.spent:.4g} is spent, does not allow the next "
                f"prompt; the answer cache holds {cached + self.counts.answered} of {cached + len(prompts)} answers: "
                "raise it and run again"
            )
        return outcomes

    def _highest_cost(self, backend: Backend, prompt: Prompt) -> float:
        """Return the most that an answer can cost, which is reserved for it, and is what it costs if the server counts more."""
        return self.budget.cost(backend.count_tokens(prompt), backend.max_new_tokens) if self.budget.priced else 0.0

    def _keep(
        self,
        backend: Backend,
        cache: ResponseCache,
        bill: Bill,
        index: int,
        key: str,
        prompt: Prompt,
        outcome: Generation | Failure,
    ) -> Generation | Failure:
        """Write an outcome and its charge down; return it, or the answer that another process has kept before."""
        if isinstance(outcome, Failure):
            bill.charge(index, 0, 0, outcome.unanswered, answered=False, billed=outcome.billed)
            return outcome
        answered = bool(outcome.text.strip())
        bill.charge(index, outcome.prompt_tokens, outcome.completion_tokens, outcome.unanswered, answered=answered)
        if not answered:
            return Failure("empty", "the answer is empty")  # none, so the next run asks again
        self.counts.answered += 1
        return cache.put(key, backend.identity, prompt, outcome, prompt.sample)

    def costs(self) -> dict[str, int | float]:
        """Return calls, tokens and, where there is a price, money of all answers, whenever they were paid.

        The money has what attempts without an answer may have cost.
        """
        answers = [tokens for tokens in self.used.values() if tokens]
        tokens_in, tokens_out = (sum(tokens[place] for tokens in answers) for place in (0, 1))
        counts: dict[str, int | float] = {
            "calls": len(answers),
            "calls_prompt_tokens": tokens_in,
            "calls_completion_tokens": tokens_out,
        }
        if not self.budget.priced:
            return counts
        with ResponseCache(self.cache) as cache:
            lost = cache.lost_money(list(self.used))
        return counts | {"money": round(sum(self._money.values()) + lost, 6)}
