"""How long an upstream asks to wait, by each way in which it may say so, whoever reads it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from openai import APIStatusError
from pydantic_ai import ModelHTTPError
from pydantic_ai.messages import ModelRequest
from tests.models.faults import SLOW, failure_of, run
from tests.models.upstream import DONE, STOP, Call, Upstream, text

from launchpad.models.config import RetryPolicy
from launchpad.models.direct import OpenAnswer
from launchpad.models.retry_after import retry_after_of
from launchpad.models.upstream_errors import as_upstream_error

PAST = "Wed, 21 Oct 2015 07:28:00 GMT"
WARM = "Learn"


async def waits_asked(server: Upstream) -> list[float | None]:
    """What an agent's request finds, live and not, and one without an agent, new and as learnt."""
    found = [await failure_of(server, SLOW, [], live=live) for live in (True, False)]
    for _ in range(2):
        with pytest.raises((ModelHTTPError, APIStatusError)) as failed:
            async with OpenAnswer(server.config(), [ModelRequest.user_text_prompt("Hello")]):
                pass
        failure = as_upstream_error(failed.value)
        assert failure is not None
        found.append(failure)
        async with OpenAnswer(server.config(), [ModelRequest.user_text_prompt(WARM)]) as live:
            assert [one async for one in live.events("Node", structured=False)]
    assert {one.code for one in found} == {"rate_limit_exceeded"}
    return [one.retry_after for one in found]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], None),
        (["Retry-After: 7"], 7.0),
        (["Retry-After: 1.2"], 1.2),
        (["Retry-After: 0"], 0.0),
        (["retry-after-ms: 1500"], 1.5),
        (["retry-after-ms: 1500", "retry-after: 2"], 1.5),
        (["retry-after-ms: soon", "retry-after: 2"], 2.0),
        (["retry-after-ms: -1", "retry-after: 2"], 2.0),
        ([f"Retry-After: {PAST}"], 0.0),
        ([f"Retry-After: {PAST}", "Date: Wed, 21 Oct 2015 07:27:30 GMT"], 30.0),
        ([f"Retry-After: {PAST}", "Date: Wed, 21 Oct 2015 07:29:00 GMT"], 0.0),
        ([f"Retry-After: {PAST}", "Date: now"], 0.0),
        (["Retry-After: soon"], None),
        (["Retry-After: -5"], None),
        (["Retry-After: inf"], None),
        (["Retry-After: nan"], None),
    ],
)
def test_what_a_response_asks(headers: list[str], wanted: float | None) -> None:
    async def script(call: Call) -> None:
        if WARM in str(call.body["messages"]):
            await call.stream(*text("a"), STOP, DONE)
        else:
            await call.refuse(429, {"error": {"message": "slow down"}}, *headers)

    assert run(script, waits_asked) == [wanted] * 4


def test_a_date_to_come() -> None:
    then = datetime.now(UTC) + timedelta(hours=1)
    for said in (format_datetime(then, usegmt=True), then.strftime("%a, %d %b %Y %H:%M:%S")):
        wait = retry_after_of({"retry-after": said})
        assert wait is not None
        assert 3000 < wait <= 3600


@pytest.mark.parametrize("header", ["Retry-After: 1.2", "retry-after-ms: 1200"])
@pytest.mark.parametrize(("longest", "calls"), [(1.0, 1), (2.0, 2)])
def test_retries_keep_to_it(header: str, longest: float, calls: int) -> None:
    """Above the longest that is waited for, it is the client's to wait."""
    policy = RetryPolicy(attempts=2, backoff=0.01, max_retry_after=longest)
    at: list[float] = []

    async def script(call: Call) -> None:
        at.append(asyncio.get_running_loop().time())
        await call.refuse(429, {"error": {"message": "slow down"}}, header)

    async def agent(server: Upstream) -> float | None:
        with pytest.raises(ModelHTTPError) as failed:
            await server.agent(retry=policy).run("Hello")
        failure = as_upstream_error(failed.value)
        assert failure is not None
        return failure.retry_after

    assert run(script, agent) == 1.2
    assert len(at) == calls
    assert calls == 1 or at[1] - at[0] >= 1.19, "not sooner than it was told"
