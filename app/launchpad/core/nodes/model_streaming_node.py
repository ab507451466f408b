"""`ModelStreamingNode`: one request to a model, streamed, without an agent around it."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from launchpad.core.nodes.agent import config_of, conversation
from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext
from launchpad.errors import NodeError
from launchpad.events import Delta
from launchpad.models.config import AgentConfig, said
from launchpad.models.provider import build_model, reads_upstream_itself
from launchpad.models.scope import count_usage, request_scope

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage


class ModelStreamingNode(Node):
    """Sends the conversation to a model and streams its answer: a chat model, at the least cost.

    The client's own `tools` and `response_format` reach the model, and its calls of those tools
    reach the client. There is no agent, so the config's `tools` and `output_type` are refused;
    that is `AgentStreamingNode`'s work. Override `get_messages` to send something else.
    """

    takes_client_form: ClassVar[bool] = True
    """The client's `tools` and `response_format` reach the model."""

    direct_words: Callable[[Delta], bool] | None = None
    """Takes a word that comes alone past `process`, or says that it does not. Set by the engine
    for the next call of `process`, where that is not overridden and the engine itself takes what it
    yields."""

    @abstractmethod
    def get_agent_config(self) -> AgentConfig:
        """The model, its instructions and its settings."""

    def prepare(self) -> bool:
        """Build the model."""
        build_model(config_of(self))
        return True

    def imports_sdk(self) -> bool:
        """Whether the model is read by another provider's SDK than the one that is there."""
        return not reads_upstream_itself(config_of(self))

    def get_messages(self, task_context: TaskContext) -> Sequence[ModelMessage]:
        """What the model is to go on with: by default the event's whole conversation."""
        event = task_context.event
        whole = getattr(event, "get_messages", None)
        if whole is not None:
            messages: Sequence[ModelMessage] = whole()
            return messages
        from pydantic_ai.messages import ModelRequest, UserPromptPart

        prompt, history = conversation(self.node_name, event)
        return [*(history or ()), ModelRequest(parts=[UserPromptPart(content=prompt)])]

    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        """Stream the model's answer to `get_messages`."""
        from launchpad.models.direct import OpenAnswer

        # Now, and once: while the model is asked, a node that runs share gets the next run's.
        hear, self.direct_words = self.direct_words, None
        scope = request_scope.get()
        form = self.takes_client_form
        structured = form and scope is not None and scope.response_format is not None
        messages = self.get_messages(task_context)
        if type(self).get_messages is not ModelStreamingNode.get_messages:
            _check_messages(self.node_name, messages)
        async with OpenAnswer(config_of(self), messages, allow_client_form=form) as answer:
            answer.hear = hear
            async for batch in answer.batches(self.node_name, structured=structured):
                for event in batch:
                    yield event
            self._finish_reason = answer.finish_reason
            count_usage(answer.usage)


PASSES_WORDS_ON = ModelStreamingNode.process
"""`process` as it is written here, whatever is put in its place or around it later."""


def _check_messages(node: str, given: object) -> None:
    """What a node's own `get_messages` gave has to be pydantic-ai's. Raises `NodeError`."""
    from pydantic_ai.messages import ModelRequest, ModelResponse

    if inspect.iscoroutine(given):
        given.close()
        raise NodeError(node, "get_messages is async; write a plain def get_messages.")
    wrong = given
    if isinstance(given, list | tuple):
        items = cast("Sequence[object]", given)
        strange = [one for one in items if not isinstance(one, ModelRequest | ModelResponse)]
        if not strange:
            return
        wrong = strange[0]
    raise NodeError(
        node,
        f"get_messages gave {said(wrong)}; return a list of pydantic-ai's messages: "
        "[ModelRequest(parts=[UserPromptPart('…')])], or change what super().get_messages gives.",
    )
