"""Pace: how long a request waits for its turn. Times are lower bounds, and upper ones that a busy machine keeps."""

import asyncio
import email.utils
import time

import pytest

from aloe.pace import ANNOUNCED_PAUSE, Pace, _limiter, backoff, pause_asked


def entering(pace, *tokens):
    """Seconds until the last of some requests could be sent, all of them wanting to at once."""

    async def all_of_them():
        await asyncio.gather(*(pace.enter(number) for number in tokens))

    begun = time.monotonic()
    asyncio.run(all_of_them())
    return time.monotonic() - begun


def test_without_limits_nobody_waits():
    assert entering(Pace("x", 8, None, None), *[1000] * 50) < 0.2


@pytest.mark.parametrize("per_minute", [1, 7, 60, 61, 600, 10_000])
def test_no_minute_sees_more_than_the_limit(per_minute):
    bucket = _limiter(per_minute)
    # A bucket that is full when the minute begins gives its content at once, and then what flows in.
    sent_after_the_first = bucket.max_rate / bucket.time_period * 60
    assert sent_after_the_first + (bucket.max_rate if per_minute > 60 else 0) == pytest.approx(per_minute)


def test_requests_wait_when_the_bucket_of_a_second_is_empty():
    # 600 a minute: 10 at once, the others at (600 - 10) / 60 = 9.8 a second; 3 more take 0.3 s
    assert 0.29 <= entering(Pace("x", 8, 600, None), *[1] * 13) < 3


def test_tokens_wait_even_if_one_request_takes_more_than_the_bucket_holds():
    # 6,000 a minute: 100 at once, then 99 a second; 130 take 0.3 s
    assert 0.29 <= entering(Pace("x", 8, None, 6_000), 130) < 3


def test_what_an_answer_took_beyond_the_estimate_is_made_up_for():
    pace = Pace("x", 8, None, 6_000)
    pace.used(40, 110)
    assert entering(pace, 60) >= 0.29  # 60 and the 70 that are owed
    pace.used(40, None)
    assert pace._owed == 0


def test_a_bucket_of_the_server_that_is_nearly_empty_sets_the_interval():
    pace = Pace("x", 4, None, None)
    # 98 of 100 regained in 9.8 s: one in 0.1 s; the first goes at once, the fourth after 0.3 s
    pace.heed(
        {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "2",
         "x-ratelimit-reset-requests": "9s800ms"}, 1,
    )  # fmt: skip
    assert 0.29 <= entering(pace, 1, 1, 1, 1) < 3
    pace.heed(
        {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "90",
         "x-ratelimit-reset-requests": "1s"}, 1,
    )  # fmt: skip
    assert entering(pace, *[1] * 20) < 0.2


def test_tokens_of_the_server_count_by_the_size_of_a_request():
    pace = Pace("x", 4, None, None)
    headers = {"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "500",
               "x-ratelimit-reset-tokens": "1s"}  # fmt: skip
    pace.heed(headers, 100)
    assert pace._interval == 0  # four requests of 100 still find 500
    pace.heed(headers, 150)
    assert pace._interval == pytest.approx(0.3)  # 500 are regained in 1 s, 150 in 0.3 s


@pytest.mark.parametrize("headers", [
    {}, {"x-ratelimit-remaining-requests": "0"},
    {"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"},
    {"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1s"},
    {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"},
])  # fmt: skip
def test_headers_that_say_too_little_or_nonsense_change_nothing(headers):
    pace = Pace("x", 4, None, None)
    pace.heed(headers, 10)
    assert entering(pace, *[1] * 20) < 0.2


def test_a_pause_holds_for_everybody_also_for_those_who_wait_already():
    pace = Pace("x", 4, None, None)

    async def with_a_second_pause():
        waiting = asyncio.gather(*(pace.enter(1) for _ in range(5)))
        await asyncio.sleep(0.05)
        pace.hold(0.4)
        await waiting

    pace.hold(0.1)
    begun = time.monotonic()
    asyncio.run(with_a_second_pause())
    assert time.monotonic() - begun >= 0.44


def test_a_long_pause_is_told_once(caplog):
    pace = Pace("x", 4, None, None)
    pace.hold(ANNOUNCED_PAUSE - 1)
    assert not caplog.records
    for _ in range(3):
        pace.hold(300)
    assert [record.getMessage().split(";")[0] for record in caplog.records] == ["Endpoint 'x' asks to wait 300 s"]


def test_a_pause_may_be_asked_for_as_a_date():
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert pause_asked({"retry-after": date}) == pytest.approx(100, abs=2)
    assert pause_asked({"retry-after": email.utils.formatdate(0)}) == 0
    assert pause_asked({"retry-after": "inf"}) is pause_asked({"retry-after": "-3"}) is pause_asked({}) is None


def test_waits_double_up_to_a_bound():
    assert 0.18 <= backoff(0, 8) <= 0.25
    assert 1.5 <= backoff(3, 8) <= 2
    assert 6 <= backoff(1000, 8) <= 8
