"""The budget of one query: what is spent, what is reserved, and whether the next prompt may still be sent."""

from __future__ import annotations

from tinyllm.params.schema import Price

PER = 1_000_000  # tokens that a price is of


class Budget:
    """Counts the cost of prompts. Spent and reserved money together never pass the limit.

    That holds as long as no prompt costs more than was reserved for it.

    Args:
        price: None costs nothing.
        limit: in the price's currency; None is no limit.
    """

    def __init__(self, price: Price | None, limit: float | None) -> None:
        self.price = price or Price(prompt=0.0, completion=0.0)
        self.limit = limit
        self.spent = 0.0
        self._reserved: dict[int, float] = {}  # by prompt, while it is under way

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what so many tokens cost."""
        return (self.price.prompt * prompt_tokens + self.price.completion * completion_tokens) / PER

    def reserve(self, index: int, highest: float) -> bool:
        """Reserve the highest cost that prompt `index` can have, and return True, if the limit allows it."""
        if self.limit is not None and self.spent + sum(self._reserved.values()) + highest > self.limit:
            return False
        self._reserved[index] = highest
        return True

    def charge(self, index: int, prompt_tokens: int, completion_tokens: int, unanswered: int) -> None:
        """Replace the reserved cost by the real one.

        Args:
            unanswered: attempts without an answer; a server may have charged each of them in full.
        """
        self.spent += self.cost(prompt_tokens, completion_tokens) + unanswered * self._reserved.pop(index, 0.0)
