"""Models in a chain that are silent, break off, or send what cannot be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from tests.core.langchain_flows import USAGE, Said, call, events_of, model, text, words_of

from launchpad.events import RunEvent, RunFailed, RunFinished, Usage
from launchpad.settings import Settings, use_settings

QUICK = Settings(_env_file=None, first_token_timeout=0.4, stall_timeout=0.25)


class Reporting(Said):
    """A chat model whose provider reports each finish reason."""

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_type": "chat"}


class Silent(Said):
    """Says its chunks, and then nothing any more."""

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(messages, *args, **kwargs):
            yield chunk
        await asyncio.Event().wait()


class SilentReporting(Silent, Reporting):
    """Both."""


def impatient(make: Callable[[], Any]) -> list[RunEvent]:
    """The events of a run with short timeouts, which ends within seconds."""

    async def bounded(events: Any) -> Any:
        use_settings(QUICK)
        async with asyncio.timeout(10):
            return await events

    return events_of(make, within=bounded)


def failure(events: list[RunEvent]) -> tuple[int, str | None, str]:
    last = events[-1]
    assert isinstance(last, RunFailed)
    return last.status, last.code, last.message


def said(events: list[RunEvent]) -> list[RunEvent]:
    return [event for event in events if event in text("one", "two")]


@pytest.mark.parametrize("parse", [False, True])
@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([], "sent no token within 0.4 seconds"),
        ([""], "sent no token within 0.4 seconds"),
        (["one"], "paused for more than 0.25 seconds"),
        (["one", "", ""], "paused for more than 0.25 seconds"),
        ([call(0, "{", "c", "f")], "paused for more than 0.25 seconds"),
    ],
    ids=["nothing", "empty", "a word", "a word and nothings", "a call"],
)
def test_a_silent_model(chunks: list[Any], words: str, parse: bool) -> None:
    silent = Silent(chunks=chunks)
    events = impatient(lambda: silent | StrOutputParser() if parse else silent)
    status, code, message = failure(events)
    assert (status, code) == (504, "upstream_timeout")
    assert words in message
    assert len(said(events)) == chunks.count("one")


FINISH = AIMessageChunk("", response_metadata={"finish_reason": "length"})
COUNTS = AIMessageChunk("", usage_metadata=USAGE)


@pytest.mark.parametrize("chunks", [["one", FINISH], ["one", FINISH, COUNTS]])
@pytest.mark.parametrize(
    "make",
    [
        lambda model: model,
        lambda model: model | StrOutputParser(),
        lambda model: RunnableLambda(lambda given: given) | (model.bind(stop=["x"])),
        lambda model: (RunnableLambda(lambda given: given) | model) | StrOutputParser(),
    ],
    ids=["model", "parsed", "bound", "in a chain"],
)
def test_a_model_that_is_silent_after_its_finish_reason(
    make: Callable[[Any], Any], chunks: list[Any]
) -> None:
    for silent in (Silent(chunks=chunks), SilentReporting(chunks=chunks)):
        events = impatient(lambda silent=silent: make(silent))
        assert said(events) == text("one")
        assert events[-1] == RunFinished("length", Usage(7, 2) if COUNTS in chunks else None)


def test_steps_that_may_have_more_to_say_are_not_taken_for_complete() -> None:
    async def signed(words: AsyncIterator[str]) -> AsyncIterator[str]:
        async for word in words:
            yield word
        yield "signature"

    silent = Silent(chunks=["one", FINISH])
    for more in (RunnableGenerator(signed), JsonOutputParser()):
        chain = silent | StrOutputParser() | more
        assert failure(impatient(lambda chain=chain: chain))[1] == "upstream_timeout"


def test_a_model_that_is_not_the_last_step() -> None:
    async def asks(_: Any) -> str:
        return "".join([str(chunk.content) async for chunk in Silent(chunks=["one"]).astream("?")])

    code = failure(impatient(lambda: RunnableLambda(asks) | model("two")))[1]
    assert code == "upstream_timeout"


def test_what_is_no_model_may_take_its_time() -> None:
    async def slow(given: Any) -> Any:
        await asyncio.sleep(0.4)
        return given

    step = RunnableLambda(slow)
    answer = step | model("one", usage=USAGE) | step | StrOutputParser()
    assert impatient(lambda: answer)[-1] == RunFinished("stop", Usage(7, 2))


def test_a_fallback_takes_over_from_a_model_that_failed_and_is_timed_itself() -> None:
    broken = Said(chunks=[ValueError("down")])
    chain = broken.with_fallbacks([Silent(chunks=["one"])])
    assert failure(impatient(lambda: chain))[1] == "upstream_timeout"


@pytest.mark.parametrize("last", [None, StrOutputParser(), JsonOutputParser()])
def test_without_a_finish_reason_an_answer_was_cut(last: Any) -> None:
    cut = Reporting(chunks=["[1, 2"])
    events = events_of(lambda: cut | last if last is not None else cut)
    assert failure(events)[:2] == (502, "upstream_cut")


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_its_server_gave_up_was_cut(reason: str) -> None:
    end = AIMessageChunk("", response_metadata={"finish_reason": reason})
    events = events_of(lambda: Reporting(chunks=["one", end]))
    assert said(events) == text("one")
    assert failure(events)[:2] == (502, "upstream_cut")


def test_nothing_that_was_made_of_a_cut_answer_is_said() -> None:
    cut = Reporting(chunks=["one"])
    events = events_of(lambda: cut | StrOutputParser() | (lambda words: words) | model("two"))
    assert failure(events)[1] == "upstream_cut"
    assert said(events) == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"finish_reason": "length"},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
    ],
    ids=["chat completions", "responses"],
)
def test_with_a_finish_reason_it_was_not(metadata: dict[str, Any]) -> None:
    whole = Reporting(chunks=["one", AIMessageChunk("", response_metadata=metadata)])
    assert events_of(lambda: whole)[-1] == RunFinished("length", None)


@pytest.mark.parametrize(
    ("name", "said", "meant"),
    [
        ("finish_reason", "PROHIBITED_CONTENT", "content_filter"),
        ("finish_reason", "MAX_TOKENS", "length"),
        ("stop_reason", "model_context_window_exceeded", "length"),
        ("stopReason", "guardrail_intervened", "content_filter"),
        ("stop_reason", "end_turn", "stop"),
        ("done_reason", "load", "stop"),
    ],
)
def test_each_providers_word_is_told_in_openais(name: str, said: str, meant: str) -> None:
    whole = Said(chunks=["one", AIMessageChunk("", response_metadata={name: said})])
    assert events_of(lambda: whole)[-1] == RunFinished(meant, None)  # type: ignore[arg-type]


def test_of_a_model_that_reports_no_reasons_nothing_is_asked() -> None:
    fake = FakeListChatModel(responses=["one"])
    assert events_of(lambda: fake)[-1] == RunFinished("stop", None)
    assert words_of(lambda: model("one")) == text("one")


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([], "upstream_cut"),
        ([json.JSONDecodeError("Expecting value", "secret", 0)], "upstream_error"),
        (["one", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "secret")], "upstream_error"),
    ],
    ids=["no chunk", "no JSON", "no text"],
)
def test_what_a_model_could_not_read_is_its_providers_failure(chunks: list[Any], code: str) -> None:
    status, found, message = failure(events_of(lambda: Said(chunks=chunks) | StrOutputParser()))
    assert (status, found) == (502, code)
    assert "secret" not in message


def test_json_that_another_step_could_not_read_is_the_nodes() -> None:
    events = events_of(lambda: model("{") | StrOutputParser() | json.loads)
    assert failure(events)[:2] == (500, "node_failed")
