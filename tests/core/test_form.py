"""`response_format` in workflows of several nodes: one answer in the client's form, or none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest
from tests.core.conftest import config
from tests.core.flows import asked, chat_events_of, chat_flow

from launchpad.core.form import yields_only_text
from launchpad.core.nodes.agent import AgentConfig
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.schema import NodeConfig
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import UnsupportedParameterError
from launchpad.events import ReasoningDelta, RunFailed, RunFinished, TextDelta
from launchpad.wire.openai_chat.parameters import review
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.capabilities import capabilities_of

pytestmark = pytest.mark.usefixtures("upstream")

SCHEMA: dict[str, Any] = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "o", "schema": {"type": "object", "properties": {}}},
    }
}
ONLY_JSON: dict[str, Any] = {"stream": True, "stream_options": {"valid_json_chunks": True}}


class Chat(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Other(Chat):
    pass


class Text(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return config()


class Hint(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "Looking it up… "


class PlainHint(Node):
    def process(self, task_context: TaskContext) -> Iterator[str]:
        yield "Looking it up… "


class Kept(Node):
    async def process(self, task_context: TaskContext) -> str:
        return "for a later node"


class Silent(Node):
    async def process(self, task_context: TaskContext) -> None:
        task_context.metadata["seen"] = True


class Way(BaseRouter):
    def route(self, task_context: TaskContext) -> Any:
        return Text if "text" in task_context.event.get_message() else Chat


class Both(ConcurrentNode):
    pass


class Thinks(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[ReasoningDelta]:
        yield ReasoningDelta(self.node_name, "searching")


ROUTED = (
    NodeConfig(node=Way, connections=[Chat, Text], is_router=True),
    NodeConfig(node=Chat),
    NodeConfig(node=Text),
)
ONE = {
    "alone": chat_flow(Chat),
    "behind a silent one": chat_flow(Silent, Chat),
    "behind thoughts": chat_flow(Thinks, Chat),
    "behind one whose text is kept": chat_flow(Kept, Chat),
    "on one way": chat_flow(*ROUTED),
}
MORE = {
    "two": chat_flow(Chat, Other),
    "behind words": chat_flow(Hint, Chat),
    "behind a plain generator's words": chat_flow(PlainHint, Chat),
    "before words": chat_flow(Chat, Hint),
    "at once": chat_flow(NodeConfig(node=Both, concurrent_nodes=[Chat, Other])),
}


def _review(workflow: Workflow, **fields: Any) -> None:
    request = OpenAIChatSchema.model_validate(asked(**SCHEMA, **fields))
    review(request, capabilities_of(type(workflow)))


@pytest.mark.parametrize("name", ONE)
def test_one_answer_may_have_the_client_s_form(name: str) -> None:
    _review(ONE[name])
    _review(ONE[name], **ONLY_JSON)


@pytest.mark.parametrize("name", MORE)
def test_where_others_speak_beside_it_only_valid_json_chunks_tell_it_apart(name: str) -> None:
    with pytest.raises(UnsupportedParameterError, match="Other words stand beside"):
        _review(MORE[name])
    _review(MORE[name], **ONLY_JSON)


def test_members_that_took_the_form_count_for_those_who_follow() -> None:
    both = NodeConfig(node=Both, concurrent_nodes=[Chat, Silent], connections=[Hint])
    events = chat_events_of(chat_flow(both, NodeConfig(node=Hint)), asked(**SCHEMA, **ONLY_JSON))
    assert not isinstance(events[-1], RunFailed)


def test_a_way_on_which_nobody_takes_the_form_is_refused_when_it_is_taken() -> None:
    workflow = ONE["on one way"]
    chat = chat_events_of(workflow, asked("chat please", **SCHEMA))
    assert not isinstance(chat[-1], RunFailed)
    *before, failure = chat_events_of(workflow, asked("text please", **SCHEMA))
    assert isinstance(failure, RunFailed)
    assert (failure.status, failure.param) == (400, "response_format")
    assert not any(isinstance(event, TextDelta) for event in before)
    assert not isinstance(chat_events_of(workflow, asked("text please"))[-1], RunFailed)
    loose = asked("text please", response_format={"type": "json_object"})
    assert not isinstance(chat_events_of(workflow, loose)[-1], RunFailed)


def test_a_way_on_which_nobody_speaks_gives_no_wrong_answer() -> None:
    class Quiet(BaseRouter):
        def route(self, task_context: TaskContext) -> Any:
            return Silent

    workflow = chat_flow(
        NodeConfig(node=Quiet, connections=[Chat, Silent], is_router=True),
        NodeConfig(node=Chat),
        NodeConfig(node=Silent),
    )
    events = chat_events_of(workflow, asked(**SCHEMA))
    assert isinstance(events[-1], RunFinished)


@pytest.mark.parametrize("node", [Text, Hint])
def test_an_answer_that_nobody_gives_in_the_form_is_refused(node: type[Node]) -> None:
    with pytest.raises(UnsupportedParameterError, match="output format is its own"):
        _review(chat_flow(node))


@pytest.mark.parametrize("workflow", [*MORE.values(), chat_flow(Text)], ids=[*MORE, "nobody"])
def test_who_speaks_before_or_without_the_form_runs(workflow: Workflow) -> None:
    """`review` has let the request in: that others stand beside the form is no surprise."""
    events = chat_events_of(workflow, asked(**SCHEMA, **ONLY_JSON))
    assert not isinstance(events[-1], RunFailed)


def test_text_and_nothing_else_is_told_by_the_annotation() -> None:
    async def returns(self: Node, task_context: TaskContext) -> str: ...
    async def says(self: Node, task_context: TaskContext) -> AsyncIterator[str]: ...
    async def generates(self: Node, task_context: TaskContext) -> AsyncGenerator[str, None]: ...
    async def mixed(self: Node, task_context: TaskContext) -> AsyncIterator[Any]: ...
    async def lost(self: Node, task_context: TaskContext) -> Missing: ...  # type: ignore[name-defined]  # noqa: F821

    def only_text(process: Any) -> bool:
        return yields_only_text(type("Said", (Node,), {"process": process}))

    assert only_text(returns)
    assert only_text(says)
    assert only_text(generates)
    assert not only_text(mixed)
    assert not only_text(lost)
