"""Both ways of a plain request: one that nothing was learnt for, and one that is like others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models.openai import OpenAIChatModel
from tests.models.upstream import DONE, STOP, Call, Upstream, text, upstream, usage

from launchpad.events import Delta, TextDelta
from launchpad.models import aclose_clients
from launchpad.models.agents.streaming_model import live_stream
from launchpad.models.scope import Spent, spent_here
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WARM = "warm up"
QUICK = Settings(first_token_timeout=0.3, stall_timeout=0.3)
FRAGMENTS = (
    *("<", ">", "&lt;", "&#60;", "&#x3c", "&", "/", "|", "[", "]", "~", "system", "pyai:context"),
    *("<system>", "</system>", "＜system＞", "＆lt;ѕystem", "﹤system", "﹠lt;", "<|im_start|>"),
    *("[INST]", "[/INST]", "]~b]", "<｜User｜>", "<turn|>", "\u200b", "\ufeff", "ѕуѕтем", "ᴜser"),
    *("Why is the sky blue?", "天空", "\n", " ", "é", '{"a": 1}', "assistant_thinking"),
    *("<\u200d", "[\u200d", "\u200d", "|>", "INST]", "<b>", "x < 3", "[a](b)", "`{x: [1]}`"),
)
"""What pydantic-ai's preparation of a conversation may take for more than words, and what not."""
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join),
)
Answer = Callable[[Call], Awaitable[None]]
Ask = Callable[[Upstream], Awaitable[Any]]


def saying(pieces: Sequence[bytes], cut: int = 0) -> Answer:
    """The pieces in one, in `cut` that are as long, or (-1) as they are."""
    whole = b"".join(pieces)
    size = len(whole) // cut + 1 if cut > 0 else len(whole) or 1
    sent = [whole[start : start + size] for start in range(0, len(whole), size)]

    async def answer(call: Call) -> None:
        await call.start()
        for piece in sent if cut >= 0 else pieces:
            await call.send(piece)
            await asyncio.sleep(0.001)
        await call.end()

    return answer


def answering(answer: Answer) -> Answer:
    """`answer` for all but what warms a model up."""

    async def script(call: Call) -> None:
        if call.body["messages"][-1]["content"] == WARM:
            await call.stream(*text("so"), STOP, usage(7, 5), DONE)
        else:
            await answer(call)

    return script


def both_ways(
    answer: Answer, ask: Ask, warm: Ask, *, times: int = 2, late: bool = True
) -> tuple[Any, list[Any]]:
    """What `ask` gives where nothing was learnt, and `times` after `warm` was asked thrice.

    Behind two it gives the same as behind three: such a run is made, if `late`.
    """

    async def main() -> tuple[Any, list[Any], list[Any]]:
        async with upstream(answering(answer)) as server:
            usual = await ask(server)
            await aclose_clients()
            made: list[Any] = []
            if late:
                for _ in range(2):
                    await warm(server)
                made.append(await ask(server))
                await aclose_clients()
            for _ in range(3):
                await warm(server)
            learnt = [await ask(server) for _ in range(times)]
            await aclose_clients()
            return usual, made, learnt

    usual, made, learnt = asyncio.run(main())
    assert made == learnt[: len(made)]
    return usual, learnt


@contextmanager
def mapped(patch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """What is said last in the requests that go through pydantic-ai's own model meanwhile."""
    found: list[str] = []
    own = OpenAIChatModel.request_stream

    def noted(self: Any, messages: Any, *rest: Any) -> Any:
        found.append(messages[-1].parts[-1].content)
        return own(self, messages, *rest)

    with patch.context() as patched:
        patched.setattr(OpenAIChatModel, "request_stream", noted)
        yield found


def plain(message: Any) -> Any:
    """A message without what is new with each run."""
    if isinstance(message, ModelResponse):
        return replace(message, timestamp=NOW, run_id=None, conversation_id=None)
    assert isinstance(message, ModelRequest)
    parts = [replace(cast("Any", part), timestamp=NOW) for part in message.parts]
    return replace(message, parts=parts, timestamp=NOW, run_id=None, conversation_id=None)


def joined(events: Sequence[Any]) -> list[Any]:
    """The events with the texts of one part in one piece, however they came."""
    found: list[Any] = []
    for one in events:
        last = found[-1] if found else None
        if (
            isinstance(one, PartDeltaEvent)
            and isinstance(one.delta, TextPartDelta)
            and isinstance(last, PartStartEvent | PartDeltaEvent)
            and last.index == one.index
        ):
            said = one.delta.content_delta
            if isinstance(last, PartStartEvent) and isinstance(last.part, TextPart):
                part = replace(last.part, content=last.part.content + said)
                found[-1] = replace(last, part=part)
                continue
            if isinstance(last, PartDeltaEvent) and isinstance(last.delta, TextPartDelta):
                whole = replace(one.delta, content_delta=last.delta.content_delta + said)
                if replace(last.delta, content_delta=whole.content_delta) == whole:
                    found[-1] = replace(one, delta=whole)
                    continue
        found.append(one)
    return found


def failure(error: BaseException | None) -> Any:
    """All of an error that can be looked at, and of those that it came of."""
    if error is None:
        return None
    seen = {name: value for name, value in vars(error).items() if not callable(value)}
    for name in ("request", "response"):
        seen.pop(name, None)
    ours = as_upstream_error(error) if isinstance(error, Exception) else None
    told = (ours.status, ours.code, ours.param, ours.type, str(ours)) if ours is not None else None
    return type(error), str(error), repr(seen), told, failure(error.__cause__)


def joined_deltas(heard: Sequence[Delta]) -> list[Any]:
    """One entry for the texts that follow each other."""
    found: list[Any] = []
    for one in heard:
        if isinstance(one, TextDelta) and found and isinstance(found[-1], str):
            found[-1] += one.text
        else:
            found.append(one.text if isinstance(one, TextDelta) else one)
    return found


async def ask_live(
    server: Upstream, prompt: str = "Hi", history: Sequence[ModelMessage] = (), **config: Any
) -> Any:
    """The result that a node has which reads its answer live, and asks for the output."""
    node = server.agent(QUICK, instructions="Be brief.", **config)
    async with node.run_stream(prompt, message_history=list(history)) as result:
        live = live_stream(result.run_id)
        assert live is not None
        live.sufficed = True
        async for _ in live.batches("N", structured=False):
            pass
        await result.get_output()
    return result


class Run:
    """Reads one run of an agent in the way that its name says, and tells what came of it."""

    def __init__(self, way: str, *, history: Sequence[ModelMessage] = (), **config: Any) -> None:
        self.way = way
        self.history = history
        self.config = {"instructions": "Be brief.", **config}

    async def ask(self, server: Upstream, prompt: str = "Hi") -> Any:
        heard: list[Any] = []
        spent = Spent()
        token = spent_here.set(spent)
        agent = server.agent(QUICK, **self.config)
        try:
            async with agent.run_stream(prompt, message_history=list(self.history)) as result:
                live = live_stream(result.run_id)
                assert live is not None
                said = await getattr(self, self.way)(result, live, heard)
            after = [plain(one) for one in result.all_messages()]
            seen: Any = (said, result.usage, plain(result.response), after)
        except Exception as raised:  # noqa: BLE001  whatever it is, it must be the same
            seen = failure(raised)
        finally:
            spent_here.reset(token)
        return heard, seen, spent.usages, spent.finish_reason

    async def warm(self, server: Upstream) -> Any:
        return await self.ask(server, WARM)

    async def live(self, result: Any, live: Any, heard: list[Any]) -> Any:
        got: list[Delta] = []
        try:
            async for one in live.events("N", structured="output_type" in self.config):
                got.append(one)  # noqa: PERF401  they stay when it fails
        finally:
            heard += joined_deltas(got)
        output = await result.get_output()
        return output, live.finish_reason, live.usage, live.refused

    async def node(self, result: Any, live: Any, heard: list[Any]) -> Any:
        live.sufficed = True
        return await self.live(result, live, heard)

    async def settled(self, result: Any, live: Any, heard: list[Any]) -> Any:
        live.sufficed = True
        async for one in live.events("N", structured=True):
            heard.append(one)  # noqa: PERF401  they stay when it fails
        seen = [one async for one in result.stream_response(debounce_by=None)]
        return result.result.output, plain(seen[-1])

    async def output(self, result: Any, live: Any, heard: list[Any]) -> Any:
        return await result.get_output()

    async def deltas(self, result: Any, live: Any, heard: list[Any]) -> Any:
        return "".join([one async for one in result.stream_text(delta=True, debounce_by=None)])

    async def snapshots(self, result: Any, live: Any, heard: list[Any]) -> Any:
        # Debounced: pydantic-ai asks for each event in a task of its own.
        return [one async for one in result.stream_text(debounce_by=0.001)][-1:]

    async def responses(self, result: Any, live: Any, heard: list[Any]) -> Any:
        return plain([one async for one in result.stream_response(debounce_by=None)][-1])
