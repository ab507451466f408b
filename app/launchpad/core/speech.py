"""What a node says, on its way out: lifted, kept for later nodes, handed to the mailbox."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, cast

from msgspec.structs import replace
from pydantic import BaseModel

from launchpad.core.closing import close
from launchpad.core.lift import is_document, lift
from launchpad.core.relay import ending_of, is_sdk_chunk
from launchpad.core.threads import in_thread
from launchpad.events import (
    Delta,
    FinishReason,
    JsonDelta,
    JsonSnapshot,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from launchpad.stream.mailbox import Mailbox


class Speech:
    """The words of one node in one run."""

    __slots__ = (
        "_begun",
        "_documents",
        "_mailbox",
        "_model",
        "_node",
        "_texts",
        "called",
        "finish_reason",
        "spoke",
        "usage",
    )

    finish_reason: FinishReason | None
    """Why the answer ended, where the node passes on chunks that say so."""
    usage: Usage | None
    """What the answer took, where the node passes on chunks that say so."""

    def __init__(
        self, node: str, mailbox: Mailbox | None, begun: Callable[[], None] | None = None
    ) -> None:
        """`begun` is called before the node's first word leaves."""
        self._node = node
        self._mailbox = mailbox
        self._begun = begun
        self._texts: list[str] = []
        self._documents: list[str] = []
        self._model: BaseModel | None = None
        """The document that was said last, where it is a model."""
        self.spoke = False
        self.called = False
        self.finish_reason = None
        self.usage = None

    async def deliver(self, words: AsyncIterator[Any]) -> None:
        """Take everything that the generator `words` yields; close it in this same task."""
        node, mailbox = self._node, self._mailbox
        kept: dict[type[object], list[str]] = {
            TextDelta: self._texts,
            JsonDelta: self._documents,
        }
        try:
            async for item in words:
                said = kept.get(item.__class__)
                if said is not None and item.node == node and type(item.text) is str:
                    # The way of nearly every token.
                    if not said:
                        self._begin()
                    said.append(item.text)
                    if mailbox is not None and not mailbox.offer(item):
                        await mailbox.put(item)
                else:
                    for event in self._lift(item):
                        self._keep(event)
                        if mailbox is not None:
                            await mailbox.put(event)
        except BaseException:
            await close(words)
            raise

    def hear(self, event: Delta) -> bool:
        """Let out a word past the generator, while it waits; False where it is to be yielded."""
        if isinstance(event, TextDelta):
            words = self._texts
        elif isinstance(event, JsonDelta):
            words = self._documents
        else:
            return False
        # The first word begins the node's speech: that is `deliver`'s.
        if not words or self._mailbox is None or not self._mailbox.offer(event):
            return False
        words.append(event.text)
        return True

    async def say(self, event: Delta) -> None:
        """Let one event out on the node's behalf."""
        self._keep(event)
        if self._mailbox is not None:
            await self._mailbox.put(event)

    def output(self) -> Any:
        """All that was said: text where there was any, else the JSON document, else None.

        Of several documents it is the last one: many are one that grows. A model stays a model.
        """
        if self._texts:
            return "".join(self._texts)
        if self._model is not None and len(self._documents) == 1:
            # Else fragments came after it.
            return self._model
        if not self._documents:
            return None
        document = "".join(self._documents)
        try:
            return json.loads(document)
        except ValueError:
            return document

    def _lift(self, item: object) -> Any:
        if is_sdk_chunk(item):
            item = cast("BaseModel", item).model_dump()
        events: Any = lift(item, self._node)
        self._note_ending(item)
        if is_document(item):
            if self._documents:
                # Each starts on a line of its own.
                events = [replace(event, text="\n" + event.text) for event in events]
                self._documents.clear()
            self._model = item if isinstance(item, BaseModel) else None
        return events

    def _note_ending(self, item: object) -> None:
        if not isinstance(item, Mapping):
            return
        reason, usage = ending_of(cast("Mapping[str, Any]", item))
        self.finish_reason = reason or self.finish_reason
        # The last one counts: some servers tell the sum so far in every chunk.
        self.usage = usage or self.usage

    def _begin(self) -> None:
        if self._begun is not None:
            self._begun()
            self._begun = None

    def _keep(self, event: Delta) -> None:
        self._begin()
        self.spoke = True
        if isinstance(event, TextDelta):
            self._texts.append(event.text)
        elif isinstance(event, JsonSnapshot):
            self._documents[:] = [event.text]
            self._model = None
        elif isinstance(event, JsonDelta):
            self._documents.append(event.text)
        elif isinstance(event, ToolCallDelta):
            self.called = True

    @property
    def has_spoken(self) -> bool:
        """Whether anything was said at all."""
        return self.spoke or bool(self._texts or self._documents)


async def from_thread(words: Iterator[Any]) -> AsyncIterator[Any]:
    """A plain generator's (or file's, …) items, each made in a thread, so that it may block."""
    done = object()
    busy = False
    try:
        while (item := await in_thread(next, words, done)) is not done:
            yield item
    except asyncio.CancelledError:
        busy = True
        raise
    finally:
        close = getattr(words, "close", None)
        if callable(close) and not _is_running(words, busy=busy):
            close()


def _is_running(words: Iterator[Any], *, busy: bool) -> bool:
    """Whether a thread may still be inside: to close it then fails, or waits for that thread."""
    if inspect.isgenerator(words):
        return inspect.getgeneratorstate(words) == inspect.GEN_RUNNING
    return busy
