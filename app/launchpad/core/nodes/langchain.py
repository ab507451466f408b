"""`LangChainStreamingNode`: any LangChain Runnable as a speaking node."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from launchpad.core.nodes.base import Node
from launchpad.core.nodes.open_generators import OpenGenerators
from launchpad.core.task import TaskContext
from launchpad.errors import DefinitionError, MissingConfigurationError, NodeError
from launchpad.events import FinishReason, Usage
from launchpad.models.config import said
from launchpad.models.extras import to_install
from launchpad.models.langchain import build_aside
from launchpad.models.loops import loop_scope
from launchpad.models.openai_compatible.watchdog import patience_of
from launchpad.models.provider import model_settings_key
from launchpad.models.silence import CompleteError, Silence
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.settings import get_settings

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from launchpad.core.nodes.langchain_calls import ModelCalls
    from launchpad.core.nodes.langchain_words import Words

__all__ = ["LangChainStreamingNode"]

_END = object()
_RUNNABLES = "langchain_runnables"
_ROLES = {"user": "human", "assistant": "ai", "developer": "system"}


class LangChainStreamingNode(Node):
    """Streams what a Runnable says: a chat model, a chain, a function, a generator.

        class Translate(LangChainStreamingNode):
            def get_runnable(self) -> Runnable[Any, Any]:
                return ChatPromptTemplate([("system", "Translate."), ("placeholder", "{messages}")]
                ) | chat_model() | StrOutputParser()

            def get_input(self, task_context: TaskContext) -> Any:
                return {"messages": self.conversation(task_context)}

    `get_runnable` builds it, once for all runs of the class on one event loop; `get_input` makes
    its input of the event. What each item of its stream becomes, `langchain_words` says. Token
    counts and the finish reason are read off the models' own runs, whatever comes after them in
    the chain. Each model's own silence is timed as any upstream's (`first_token_timeout`, which is
    also the time for an answer that it gives in one piece, and `stall_timeout`); after its
    finish reason that is no failure where it, or a `StrOutputParser` behind it, ends the chain. How
    long the chain's other steps take is their business. Needs the extra `langchain`.
    """

    _words: Words | None = None
    _calls: ModelCalls | None = None

    @abstractmethod
    def get_runnable(self) -> Runnable[Any, Any]:
        """The chain. Called in a thread, when the first run needs it; import LangChain in here.

        `launchpad.models.langchain.chat_model()` is the default model, with an HTTP client that
        closes with the server.
        """

    def get_input(self, task_context: TaskContext) -> Any:
        """The chain's input: by default the conversation. May be a coroutine function."""
        return self.conversation(task_context)

    def conversation(self, task_context: TaskContext) -> list[tuple[str, Any]]:
        """The event's messages as LangChain's (role, content) pairs.

        Raises `NodeError` for an event without `messages`.
        """
        event = task_context.event
        messages = getattr(event, "messages", None)
        if messages is None:
            raise NodeError(
                self.node_name, f"{type(event).__name__} has no messages; override get_input()."
            )
        return [_message(message) for message in messages]

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        """Stream the chain's answer."""
        runnable = await _runnable_of(type(self))
        from launchpad.core.nodes.langchain_calls import ModelCalls, says_it_all
        from launchpad.core.nodes.langchain_words import Words

        silence = Silence(patience_of(get_settings()))
        given = self.get_input(task_context)
        if inspect.isawaitable(given):
            given = await given
        words = self._words = Words(self.node_name)
        calls = self._calls = ModelCalls(silence, says_it_all=says_it_all(runnable))
        items = aiter(runnable.astream(given, {"callbacks": [calls]}))
        # A chain closes its last step only, and its model's request is in the first.
        begun = OpenGenerators()
        try:
            while True:
                with begun:
                    item = await silence.within(anext(items, _END))
                calls.check()
                if item is _END:
                    break
                for event in words.said(item):
                    yield event
        except CompleteError:
            # Its model was ended by it; the node ends with what that has told by now.
            calls.check()
        except Exception as error:
            found = calls.meant_by(error)
            if found is None or as_upstream_error(error) is not None:
                raise
            raise found from error
        finally:
            await begun.aclose()
        if words.model is not None:
            self.save_output(words.model)

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model that spoke last stopped, where it said; not for calls nobody saw."""
        words = self._words
        said = self._calls.finish_reason if self._calls is not None else None
        reason = said or (words.finish_reason if words is not None else None)
        called = words is not None and words.shows_calls
        return "stop" if reason == "tool_calls" and not called else reason

    @property
    def called_model(self) -> bool:
        """Whether a model ran in the chain, or its words came out."""
        heard = self._words is not None and self._words.from_model
        return heard or (self._calls is not None and self._calls.count > 0)

    @property
    def usage(self) -> Usage | None:
        """The tokens of the chain's models; None where one of them did not say."""
        if self._calls is not None and self._calls.count:
            return self._calls.usage
        return self._words.usage if self._words is not None else None


async def _runnable_of(node_class: type[LangChainStreamingNode]) -> Runnable[Any, Any]:
    """The class's chain on this event loop. Runs that want it at once wait for one building."""
    kept: dict[object, asyncio.Task[Any]] = loop_scope().kept.setdefault(_RUNNABLES, {})
    key = (node_class, *model_settings_key(get_settings()))
    building = kept.get(key)
    if building is None:
        building = asyncio.get_running_loop().create_task(build_aside(lambda: _build(node_class)))
        building.add_done_callback(lambda done: _forget_failed(kept, key, done))
        kept[key] = building
    # One run's cancellation is not the others'.
    return await asyncio.shield(building)


def _build(node_class: type[LangChainStreamingNode]) -> Runnable[Any, Any]:
    if importlib.util.find_spec("langchain_core") is None:
        raise MissingConfigurationError(
            f"{node_class.__name__} needs LangChain: {to_install('langchain')}."
        )
    # What `process` needs, imported here because this is a thread.
    importlib.import_module("launchpad.core.nodes.langchain_words")
    return _checked(node_class.instance().get_runnable())


def _checked(found: Any) -> Runnable[Any, Any]:
    """What `get_runnable` gave. Raises `DefinitionError` where that does not stream."""
    if hasattr(found, "astream"):
        runnable: Runnable[Any, Any] = found
        return runnable
    if inspect.iscoroutine(found):
        found.close()
        raise DefinitionError("get_runnable is async; write a plain def, which runs in a thread.")
    if inspect.isroutine(found):
        name = found.__name__
        raise DefinitionError(
            f"get_runnable returned the function {name}; return RunnableLambda({name})."
        )
    raise DefinitionError(f"get_runnable returned {said(found)}; return a LangChain Runnable.")


def _forget_failed(
    kept: dict[object, asyncio.Task[Any]], key: object, done: asyncio.Task[Any]
) -> None:
    if done.cancelled() or done.exception() is not None:
        kept.pop(key, None)


def _message(message: Any) -> tuple[str, Any]:
    role: str = message.role
    content: Any = message.content
    if content is not None and not isinstance(content, str):
        content = [part.model_dump(exclude_none=True) for part in content]
    return _ROLES.get(role, role), content
