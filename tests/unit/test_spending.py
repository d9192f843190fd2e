"""Spending: what may still be sent under a cap, and what a progress bar shows."""

import asyncio

import pytest

from aloe import spending
from aloe.errors import UserError
from aloe.journal import Total
from aloe.spending import Spending

REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 184}], "max_tokens": 900}  # at most 1,000
OPENAI = "https://api.openai.com/v1"


@pytest.fixture(autouse=True)
def a_cent_per_thousand_tokens(monkeypatch):
    def price(base_url, model, prompt, completion):
        known = model == "gpt-4o" and None not in (prompt, completion)
        return (prompt + completion) / 100_000 if known else None

    monkeypatch.setattr(spending, "usd", price)


def pay(meter, prompt=100, completion=100):
    """One attempt that was answered."""

    async def attempt():
        async with meter:
            meter.answered(prompt, completion)

    asyncio.run(attempt())


def total(calls, tokens, model="gpt-4o", uncounted=0):
    return Total("user", OPENAI, model, calls, tokens, 0, 1.0, 0, uncounted)


def test_a_call_must_fit_with_the_most_that_it_can_cost():
    spent = Spending(0.0125, None, [])
    meter = spent.meter(OPENAI, REQUEST)
    pay(meter)  # 0.002 USD; 0.012 if the next one costs its most, 1,000 tokens
    pay(meter)  # 0.004 USD; now it does not fit
    with pytest.raises(UserError, match=r"0\.0040 USD are spent, and it may cost up to 0\.0100"):
        pay(meter)
    assert spent.usage.usd == pytest.approx(0.004)


def test_what_the_journal_holds_counts():
    with pytest.raises(UserError, match="3 are made"):
        pay(Spending(None, 3, [total(1, 5), total(2, 5)]).meter(OPENAI, REQUEST))
    with pytest.raises(UserError, match=r"0\.0950 USD are spent"):
        pay(Spending(0.1, None, [total(1, 9500)]).meter(OPENAI, REQUEST))


def test_a_call_waits_for_those_under_way_to_turn_out_cheaper():
    meter = Spending(0.0125, None, []).meter(OPENAI, REQUEST)
    most, now = 0, 0

    async def attempt():
        nonlocal most, now
        async with meter:
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            meter.answered(50, 50)
            now -= 1

    async def three():
        await asyncio.gather(attempt(), attempt(), attempt())

    asyncio.run(three())  # 0.001 USD each, but 0.010 at most: one after the other
    assert most == 1


def test_no_more_calls_are_under_way_than_the_cap_allows():
    spent = Spending(None, 5, [])
    meter = spent.meter(OPENAI, REQUEST)

    async def attempt():
        async with meter:
            await asyncio.sleep(0.005)
            meter.answered(1, 1)

    async def many():
        return await asyncio.gather(*(attempt() for _ in range(12)), return_exceptions=True)

    ended = asyncio.run(many())
    assert spent.calls == 5
    assert sum(isinstance(end, UserError) for end in ended) == 7


def test_an_attempt_that_failed_costs_nothing_and_gives_its_share_back():
    spent = Spending(0.0105, 1, [])
    meter = spent.meter(OPENAI, REQUEST)

    async def fails():
        async with meter:
            raise ConnectionError

    for _ in range(3):
        with pytest.raises(ConnectionError):
            asyncio.run(fails())
    pay(meter)
    assert spent.calls == 1


def test_an_answer_that_cannot_be_read_counts_as_the_most_it_can_have_cost():
    spent = Spending(None, None, [])

    async def lost():
        async with spent.meter(OPENAI, REQUEST) as meter:
            meter.lost()

    asyncio.run(lost())
    assert (spent.calls, spent.usd) == (1, pytest.approx(0.01))


@pytest.mark.parametrize("kept", [total(1, 5, model="unheard-of"), total(4, 5, uncounted=1)])
def test_a_cap_in_usd_needs_to_know_what_was_spent(kept):
    assert Spending(None, None, [kept]).usd is None
    with pytest.raises(UserError, match=r"costs cannot be told .* take `budget_calls`"):
        pay(Spending(1.0, None, [kept]).meter(OPENAI, REQUEST))


def test_the_bar_shows_what_is_spent_and_what_it_will_be():
    spent = Spending(None, None, [total(1, 100_000)])  # 1 USD earlier
    before = spent.usd
    assert spent.shown(before, 0) == "1.00 USD"
    for _ in range(10):
        pay(spent.meter(OPENAI, REQUEST), 5_000, 5_000)  # 0.10 each
    assert spent.shown(before, 0.25) == "2.00 USD, about 5.00 at the end"  # a quarter cost 1: the whole 4, and 1 before
    pay(spent.meter(OPENAI, REQUEST), None, 3)
    assert spent.shown(before, 0.5) == "cost unknown"
