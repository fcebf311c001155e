"""The pace at simulated endpoints: a clock that is told the time, limits that count in different ways, no sleeping."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

import pytest

from tinyllm.teachers.server.rate_limit import LONGEST_ORDERED_PAUSE, RateLimiter

Limit = Callable[[float], bool]  # whether a request that arrives now is let through


def bucket(rate: float, burst: float) -> Limit:
    """Tokens drip into a bucket; each request takes one."""
    tokens, last = burst, 0.0

    def take(now: float) -> bool:
        nonlocal tokens, last
        tokens, last = min(burst, tokens + (now - last) * rate), now
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return take


def sliding(count: int, seconds: float) -> Limit:
    """No more than `count` in any stretch of so many seconds."""
    taken: list[float] = []

    def take(now: float) -> bool:
        taken[:] = [then for then in taken if then > now - seconds]
        if len(taken) >= count:
            return False
        taken.append(now)
        return True

    return take


def room(places: int, latency: float) -> Limit:
    """So many at once; each stays for the latency."""
    return sliding(places, latency)


def simulate(
    limit: Limit, seconds: float, latency: float = 0.05, concurrency: int = 64, ordered: float | None = None
) -> list[tuple[float, bool]]:
    """Return (arrival, let through) of every request that a pace sends when there is always another one to send."""
    chance, pace, now = random.Random(1), RateLimiter(concurrency), 0.0
    events: list[tuple[float, int, float, bool | None]] = []  # time, number, when it started, None on arrival
    log: list[tuple[float, bool]] = []
    number = 0
    while now < seconds:
        while (wait := pace.wait(now)) == 0:
            pace.start(now)
            heapq.heappush(events, (now + 0.001 + 0.001 * chance.random(), number, now, None))
            number += 1
            assert pace.under_way <= concurrency
        if not events or now + wait < events[0][0]:
            now += max(wait, 1e-9)
            continue
        now, which, started, passed = heapq.heappop(events)
        if passed is None:
            passed = limit(now)
            log.append((now, passed))
            heapq.heappush(events, (now + (latency if passed else 0.002), which, started, passed))
        elif passed:
            pace.succeed()
        else:
            pace.push_back(now, started, ordered is not None)
            if ordered is not None:
                pace.hold(now, ordered)
    return log


def settled(log: list[tuple[float, bool]], seconds: float) -> tuple[float, float]:
    """(share pushed back, let through a second) after the first five seconds."""
    late = [passed for time, passed in log if time > 5]
    return 1 - sum(late) / len(late), sum(late) / (seconds - 5)


@pytest.mark.parametrize(
    ("limit", "allowed", "latency", "ordered", "least"),
    [
        (bucket(20, 20), 20, 0.05, None, 0.95),
        (bucket(20, 20), 20, 0.05, 1.0, 0.95),  # Retry-After: 1, the least that most servers can say
        (bucket(20, 20), 20, 1.0, None, 0.95),
        (bucket(20, 5), 20, 0.05, None, 0.95),
        (bucket(200, 200), 200, 0.05, None, 0.95),
        (sliding(20, 1), 20, 0.05, None, 0.9),
        (room(2, 0.05), 40, 0.05, None, 0.95),
        (room(8, 0.05), 160, 0.05, None, 0.95),
        (room(16, 0.05), 320, 0.05, None, 0.95),
    ],
    ids=["bucket", "ordered", "slow", "shallow", "fast", "sliding", "room of 2", "room of 8", "room of 16"],
)
def test_the_pace_settles_at_what_the_endpoint_allows(
    limit: Limit, allowed: float, latency: float, ordered: float | None, least: float
) -> None:
    pushed_back, rate = settled(simulate(limit, 60, latency, ordered=ordered), 60)
    assert pushed_back <= 0.02
    assert rate >= least * allowed


def test_without_a_limit_the_room_is_in_full_use_after_a_round_trip() -> None:
    log = simulate(lambda now: True, 1.0, latency=0.05)
    assert all(passed for _, passed in log)
    assert sum(time < 0.04 for time, _ in log) == 32
    assert sum(time < 0.09 for time, _ in log) == 32 + 64
    assert len(log) >= 0.9 * 64 * 1.0 / 0.052


def test_a_limit_that_is_lifted_is_found_out() -> None:
    slow, fast = bucket(20, 20), bucket(200, 200)
    log = simulate(lambda now: slow(now) if now < 30 else fast(now), 200)
    assert sum(passed for time, passed in log if 190 < time <= 200) >= 0.9 * 10 * 200


def test_a_limit_that_drops_is_followed() -> None:
    fast, slow = bucket(200, 200), bucket(20, 20)
    log = simulate(lambda now: fast(now) if now < 20 else slow(now), 60)
    late = [passed for time, passed in log if time > 25]
    assert sum(late) >= 0.95 * 35 * 20
    assert late.count(False) <= 0.02 * len(late)


def test_pauses_double_while_nothing_gets_through_and_end_with_the_first_success() -> None:
    pace, now, gaps = RateLimiter(1), 0.0, []
    for _ in range(12):
        pace.start(now)
        assert pace.push_back(now + 0.01, now, ordered=False)
        gaps.append(round(pace.wait(now + 0.01), 9))
        now += 0.01 + gaps[-1]
    assert gaps == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60])
    pace.start(now)
    pace.succeed()
    pace.start(now)
    pace.push_back(now + 1, now, ordered=False)
    assert pace.wait(now + 1) < 5


def test_an_ordered_wait_holds_for_everything_and_no_longer_than_the_longest() -> None:
    pace = RateLimiter(8)
    pace.hold(100.0, 7.0)
    assert pace.wait(100.0) == 7.0
    pace.hold(101.0, 2.0)  # a shorter one does not end a longer one
    assert pace.wait(101.0) == 6.0
    pace.hold(101.0, 86400.0)
    assert pace.wait(101.0) == LONGEST_ORDERED_PAUSE


def test_one_burst_of_push_backs_is_one_piece_of_news() -> None:
    pace = RateLimiter(16)
    for _ in range(16):
        pace.start(0.0)
    news = [pace.push_back(0.05, 0.0, ordered=False) for _ in range(16)]
    assert news == [True] + [False] * 15
    assert (pace.under_way, pace.wait(10.0)) == (0, 0.0)
    for _ in range(11):  # 16 * 0.7
        assert pace.wait(10.0) == 0
        pace.start(10.0)
    assert math.isinf(pace.wait(10.0))


def test_a_success_gives_its_place_back_and_one_more() -> None:
    pace = RateLimiter(33)
    for _ in range(32):
        pace.start(0.0)
    assert math.isinf(pace.wait(0.0))
    pace.succeed()
    pace.start(0.0)
    pace.start(0.0)
    assert math.isinf(pace.wait(0.0))
    pace.fail()
    pace.start(0.0)
    assert math.isinf(pace.wait(0.0))
