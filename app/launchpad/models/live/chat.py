"""`ChatLive`: the answer of an OpenAI-compatible server, past pydantic-ai."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextvars import copy_context
from typing import Any

from launchpad.events import Delta, ReasoningDelta, RefusalDelta
from launchpad.models.live.stream import LiveStream, Names, Speech, usage_of_openai
from launchpad.models.openai_compatible.contents import text_of
from launchpad.models.openai_compatible.json_values import as_object, objects_in
from launchpad.models.openai_compatible.stream import ChatStream
from launchpad.models.openai_compatible.whole_chunks import Chunk
from launchpad.stream.mailbox import leave_together

_NO_REASONING = frozenset({"role", "content", "refusal", "tool_calls"})


class ChatLive(LiveStream):
    """Reads a `ChatStream`."""

    def __init__(self, stream: ChatStream, names: Names) -> None:
        self._stream = stream
        self._names = names
        self._fields = (stream.reading.thinking_field, "reasoning", "reasoning_content")
        self._thinking = False
        self._ended_for: str | None = None

    async def batches(self, node: str, *, structured: bool) -> AsyncIterator[Sequence[Delta]]:
        """See `LiveStream`."""
        say = Speech(node, structured=structured, names=self._names)
        if (hear := self.hear) is not None:
            # In this task's context, as all that it says: lines of the log know their run by it.
            run = copy_context().run

            def at_once(text: str) -> bool:
                kind = ReasoningDelta if self._thinking else say.text_type
                return kind is not None and run(hear, kind(node, text))

            self._stream.say_at_once(at_once)
        while items := await self._stream.pull():
            text = ReasoningDelta if self._thinking else say.text_type
            out: list[Delta] = []
            for item in items:
                if type(item) is str:
                    if text is not None:
                        out.append(text(node, item))
                        continue
                    out += say.text(item)
                elif isinstance(item, str):
                    # A tag that opens thinking, or closes it.
                    self._thinking = not self._thinking
                else:
                    self._chunk(item, say, out)
                text = ReasoningDelta if self._thinking else say.text_type
            if out:
                if len(out) > 1:
                    leave_together()
                yield out
        if rest := say.end(self._ended_for):
            yield rest
        self.finish_reason = say.reason(self._ended_for)
        self.hid_calls = say.hides_calls

    def _chunk(self, chunk: Chunk, say: Speech, out: list[Delta]) -> None:
        if chunk.get("usage"):
            self.usage = usage_of_openai(chunk["usage"]) or self.usage
        if not chunk["choices"]:
            return
        choice = chunk["choices"][0]
        if choice.get("finish_reason"):
            self._ended_for = str(choice["finish_reason"])
        if not isinstance(choice.get("delta"), dict):
            return
        found: dict[str, Any] = choice["delta"]
        if found.get("refusal"):
            # pydantic-ai, too, takes nothing else from a chunk that refuses.
            self.refused = True
            out.append(RefusalDelta(say.node, str(found["refusal"])))
            return
        if not _NO_REASONING.issuperset(found):
            self._reasoning(found, say, out)
        content = found.get("content")
        text = content if isinstance(content, str) else text_of(content)
        if text:
            self._text(text, say, out)
        for fragment in found.get("tool_calls") or ():
            function = as_object(fragment.get("function"))
            out += say.tool_call(
                fragment["index"],
                function.get("name"),
                fragment.get("id"),
                function.get("arguments"),
                fragment.get("extra_content"),
            )

    def _reasoning(self, delta: Mapping[str, Any], say: Speech, out: list[Delta]) -> None:
        for name in self._fields:
            words = delta.get(name) if name else None
            if isinstance(words, str) and words:
                out.append(ReasoningDelta(say.node, words))
                return
        for detail in objects_in(delta.get("reasoning_details")):
            words = detail.get("text") or detail.get("summary")
            if isinstance(words, str) and words:
                out.append(ReasoningDelta(say.node, words))

    def _text(self, text: str, say: Speech, out: list[Delta]) -> None:
        if self._thinking:
            out.append(ReasoningDelta(say.node, text))
        else:
            out += say.text(text)
