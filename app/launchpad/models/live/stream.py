"""What a model says, as typed events, while pydantic-ai's run stays right behind it.

A `LiveStream` reads a model's answer past pydantic-ai, from its first token on: what
`agent.run_stream` consumed before it gave its result comes first. pydantic-ai gets the same
answer in fewer pieces when it next looks (`await result.get_output()`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from launchpad.events import Delta, FinishReason, JsonDelta, TextDelta, ToolCallDelta, Usage
from launchpad.models.finish_reasons import finish_reason_of
from launchpad.models.openai_compatible.json_values import as_object
from launchpad.stream.partial_json.around import DocumentText


@dataclass(frozen=True, slots=True)
class Names:
    """Which tool calls mean what.

    `output` tools carry the structured output, `client` ones are for the client to run, all others
    stay hidden, unless the server has none (`others_are_clients`): then whatever the model calls
    is the client's. `text` says whether text is an output too, `document` that it is to be JSON of
    the output's schema.
    """

    output: frozenset[str] = frozenset()
    client: frozenset[str] = frozenset()
    text: bool = True
    others_are_clients: bool = False
    document: bool = False

    def settles(self, name: str) -> bool:
        """Whether `name` is a tool's, and no more of it can follow that makes it another's."""
        known = self.output | self.client
        return name in known and not any(
            other != name and other.startswith(name) for other in known
        )

    def shows(self, name: str) -> bool:
        """Whether a call of `name` is the client's to see."""
        return name in self.client or (self.others_are_clients and bool(name))


class LiveStream(ABC):
    """One answer of a model, read once. `finish_reason` and `usage` are known at its end."""

    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    counted: bool = False
    """Somebody has counted `usage` (`count_usage`)."""
    refused: bool = False
    """The model refused, in OpenAI's sense: it gave `RefusalDelta`s and no answer."""
    hid_calls: bool = False
    """The model called tools that are nobody's to see: the server's own, or none at all."""
    sufficed: bool = False
    """It was read to its end, and by pydantic-ai's means nothing but the output is asked for."""
    hear: Callable[[Delta], bool] | None = None
    """May be given a word, before the others, while `batches` waits for more; it says whether it
    took it. Set before `batches` is called, by who yields each event of them as it is."""

    async def events(self, node: str, *, structured: bool) -> AsyncIterator[Delta]:
        """Yield what the model says as events of `node`, one upstream chunk at a time.

        Text is a `TextDelta`, or a `JsonDelta` when `structured`. Raises `UpstreamError`.
        """
        async for batch in self.batches(node, structured=structured):
            for delta in batch:
                yield delta

    @abstractmethod
    def batches(self, node: str, *, structured: bool) -> AsyncIterator[Sequence[Delta]]:
        """As `events`, with all that one read of the upstream gave at once; never empty."""


class Speech:
    """Turns pieces of an answer into events of one node. Keeps the state of its tool calls."""

    def __init__(self, node: str, *, structured: bool, names: Names) -> None:
        self.node = node
        self._structured = structured
        self._names = names
        self.text_type: Callable[[str, str], Delta] | None = TextDelta
        """What a piece of text becomes; None where only `text` can tell."""
        self._document: DocumentText | None = None
        if structured and names.output:
            # The document is in the output tool's arguments; text beside it is chatter.
            self.text_type = TextDelta if names.text else None
        elif structured and names.document:
            self.text_type, self._document = None, DocumentText()
        elif structured:
            self.text_type = JsonDelta
        self._calls: dict[object, _Call] = {}
        self._unsettled: list[_Call] = []
        self._shown = 0

    def reveal(self, tool: str) -> list[Delta]:
        """The calls of `tool` carry the output after all; what was held back of them comes now."""
        self._names = replace(self._names, output=self._names.output | {tool})
        if self._structured:
            self.text_type = None
        held = [call for call in self._calls.values() if call.name == tool]
        return [delta for call in held for delta in self._tell(call)]

    def end(self, raw: str | None) -> list[Delta]:
        """The answer is over, for the reason `raw`: what was held back of it comes out."""
        if self._document is None and not self._calls:
            return []
        rest = self._document.end() if self._document is not None else ""
        return [
            *([JsonDelta(self.node, rest)] if rest else ()),
            *self._end_names(),
            *(self._no_arguments() if self.reason(raw) == "tool_calls" else ()),
        ]

    def _no_arguments(self) -> list[Delta]:
        """An object for calls whose upstream gave nothing, which no client could parse."""
        silent = [call.index for call in self._calls.values() if not call.argued]
        return [ToolCallDelta(self.node, index, "{}") for index in silent if index is not None]

    def _end_names(self) -> list[Delta]:
        """The answer, or what stood before another call, is over: every name is complete."""
        if not self._unsettled:
            return []
        waiting, self._unsettled = self._unsettled, []
        return [delta for call in waiting for delta in self._settle(call)]

    @property
    def hides_calls(self) -> bool:
        """Whether a call was neither the output nor the client's."""
        if not self._calls:
            return False
        names = self._names
        return any(
            call.name not in names.output and not names.shows(call.name)
            for call in self._calls.values()
        )

    def reason(self, raw: str | None) -> FinishReason | None:
        """Why the answer ended: for tool calls where the client saw one, and only there."""
        reason = finish_reason_of(raw)
        if self._shown:
            return "tool_calls" if reason in {None, "stop"} else reason
        return "stop" if reason == "tool_calls" else reason

    def text(self, text: str) -> list[Delta]:
        """Text outside any thinking."""
        if self._document is not None:
            return self._text_of_document(self._document, text)
        return [self.text_type(self.node, text)] if text and self.text_type is not None else []

    def _text_of_document(self, document: DocumentText, text: str) -> list[Delta]:
        said = document.feed(text)
        if document.bare:
            # From here on nothing is looked at any more, which would cost each delta.
            self.text_type, self._document = JsonDelta, None
        return [JsonDelta(self.node, said)] if said else []

    def tool_call(
        self,
        key: object,
        name: str | None,
        call_id: str | None,
        arguments: str | None,
        extra: object = None,
    ) -> list[Delta]:
        """A fragment of the tool call `key`; what comes before its name is known waits for it.

        `extra`: its `extra_content`, where that is an object.
        """
        call = self._calls.get(key)
        out: list[Delta] = []
        if call is None:
            out += self._end_names()
            call = self._calls[key] = _Call()
            self._unsettled.append(call)
        call.call_id = call.call_id or call_id
        call.waiting += arguments or ""
        if extra:
            call.extra = as_object(extra) or call.extra
        if call.settled:
            return self._tell(call)
        call.name += name or ""
        if call.waiting or self._names.settles(call.name):
            self._unsettled.remove(call)
            out += self._settle(call)
        return out

    def _settle(self, call: _Call) -> list[Delta]:
        """The call's name is complete, if there is one: no more of it can follow."""
        call.settled = bool(call.name)
        if not call.settled:
            self._unsettled.append(call)
        return self._tell(call)

    def _tell(self, call: _Call) -> list[Delta]:
        """What has come of a call and may be shown."""
        output = call.name in self._names.output
        if not call.settled or not (output or self._names.shows(call.name)):
            return []
        words, call.waiting = call.waiting, ""
        extra, call.extra = call.extra, None
        call.argued = call.argued or bool(words)
        if output:
            return [JsonDelta(self.node, words)] if words and self._structured else []
        if call.index is None:
            call.index = self._shown
            self._shown += 1
            return [ToolCallDelta(self.node, call.index, words, call.call_id, call.name, extra)]
        if not (words or extra):
            return []
        return [ToolCallDelta(self.node, call.index, words, extra_content=extra)]


@dataclass(slots=True, eq=False)
class _Call:
    name: str = ""
    call_id: str | None = None
    waiting: str = ""
    extra: dict[str, Any] | None = None
    settled: bool = False
    """Its name is complete."""
    argued: bool = False
    """Arguments came."""
    index: int | None = None


def usage_of_openai(raw: object) -> Usage | None:
    """OpenAI's `usage` object, as it came; None for one that counts neither way's tokens."""
    given = as_object(raw)
    read, written = given.get("prompt_tokens"), given.get("completion_tokens")
    if not (isinstance(read, int) or isinstance(written, int)):
        return None
    cached: Any = given.get("prompt_tokens_details")
    reasoned: Any = given.get("completion_tokens_details")
    if cached is not None:
        cached = as_object(cached).get("cached_tokens")
    if reasoned is not None:
        reasoned = as_object(reasoned).get("reasoning_tokens")
    return Usage(
        input_tokens=read if isinstance(read, int) else 0,
        output_tokens=written if isinstance(written, int) else 0,
        cached_input_tokens=cached if isinstance(cached, int) else 0,
        reasoning_tokens=reasoned if isinstance(reasoned, int) else 0,
    )
