"""The bill of one query: what was spent, what is under way, and whether the next prompt may still be sent."""

from __future__ import annotations

from tinyllm.params.schema import Price

PER = 1_000_000  # tokens that a price is of


class Budget:
    """Spent money and reserved money together never pass the limit, as long as no prompt costs more than was reserved.

    Args:
        price: None costs nothing.
        limit: in the price's currency; None is no limit.
    """

    def __init__(self, price: Price | None, limit: float | None) -> None:
        self.price = price or Price(prompt=0.0, completion=0.0)
        self.limit = limit
        self.spent = 0.0
        self._reserved: dict[int, float] = {}  # by prompt, while it is under way

    def most(self, prompt_tokens: int, max_new_tokens: int) -> float:
        """The most that one attempt at a prompt can cost."""
        return (self.price.prompt * prompt_tokens + self.price.completion * max_new_tokens) / PER

    def reserve(self, index: int, most: float) -> bool:
        """Reserve the most that prompt `index` can cost, if the limit allows it."""
        if self.limit is not None and self.spent + sum(self._reserved.values()) + most > self.limit:
            return False
        self._reserved[index] = most
        return True

    def charge(self, index: int, prompt_tokens: int, completion_tokens: int, unanswered: int) -> None:
        """Replace what was reserved by what it came to; an attempt without an answer may have been charged in full."""
        self.spent += self.most(prompt_tokens, completion_tokens) + unanswered * self._reserved.pop(index, 0.0)
