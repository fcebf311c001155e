"""The budget of a run: what a call may cost, whether it may still be made, and what it came to."""

from __future__ import annotations

from tinyllm.params.teacher_entries import Price
from tinyllm.teachers.cache.ledger import Charge, Ledger

PER = 1_000_000  # tokens that a price is of


class Budget:
    """The price of one teacher, the limit of a run, and what this query spent.

    Args:
        price: None costs nothing.
        limit: of the whole run, in the price's currency; None is no limit.
    """

    def __init__(self, price: Price | None, limit: float | None) -> None:
        self.price = price or Price(prompt=0.0, completion=0.0)
        self.priced = price is not None
        self.limit = limit
        self.spent = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (self.price.prompt * prompt_tokens + self.price.completion * completion_tokens) / PER


class Bill:
    """The calls of one query, in the ledger: what is spent and reserved by all processes of a run never passes the limit.

    A call costs what the server counts, but no more than was reserved for it: a false count neither ends a run nor passes its
    limit. What a server charges beyond that is not seen, such as for thoughts that it does not hold to the limit of an answer.

    Args:
        keys: of the answers that are asked for.
        highest: what each can cost.
    """

    def __init__(self, budget: Budget, ledger: Ledger, keys: list[str], highest: list[float]) -> None:
        self._budget, self._ledger, self._keys, self._highest = budget, ledger, keys, highest
        self._reserved: dict[int, int] = {}  # by prompt the number of its call, while it is under way

    def reserve(self, index: int) -> bool:
        """Reserve the highest cost that prompt `index` can have, and return True, if the limit allows it."""
        number = self._ledger.reserve(self._keys[index], self._highest[index], self._budget.limit)
        if number is None:
            return False
        self._reserved[index] = number
        return True

    def charge(
        self,
        index: int,
        prompt_tokens: int,
        completion_tokens: int,
        unanswered: int,
        answered: bool,
        billed: tuple[int, int] | None = None,
    ) -> None:
        """Replace the reserved cost by the real one; the caller holds the transaction in which it keeps the answer.

        Args:
            unanswered: attempts without an answer; a server may have charged each of them in full.
            billed: tokens that the server charged the last of these for; None is unknown.
        """
        number = self._reserved.pop(index, None) or self._ledger.adopt(self._keys[index])
        known = billed is not None and unanswered > 0
        highest = self._highest[index]
        last = min(highest, self._budget.cost(*billed)) if billed and known else 0.0
        lost = (unanswered - known) * highest + last
        money = min(highest, self._budget.cost(prompt_tokens, completion_tokens)) + lost
        if number is not None:
            self._ledger.settle(number, Charge(answered, prompt_tokens, completion_tokens, unanswered, lost, money))
            self._budget.spent += money

    def release(self) -> None:
        """Take back what is reserved for prompts that were not sent."""
        while self._reserved:
            self.charge(next(iter(self._reserved)), 0, 0, 0, answered=False)

    @property
    def spent(self) -> float:
        """The money of the whole run so far."""
        return self._ledger.spent()
