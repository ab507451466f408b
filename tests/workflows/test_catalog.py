"""Which workflow answers to which model id, and what it can do with a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

from launchpad.api.app import create_app
from launchpad.api.router import create_router
from launchpad.cli.readiness import look_at
from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.agent_streaming_node import AgentStreamingNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.model_streaming_node import ModelStreamingNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError, DefinitionError, UnknownModelError
from launchpad.settings import Settings
from launchpad.testing import ScriptedModel, override_model
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.capabilities import capabilities_of
from launchpad.workflows.catalog import Catalog
from launchpad.workflows.warm_up import warm_up
from launchpad.workflows.workflow_registry import WorkflowRegistry


class Words(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "words"


class Mixed(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[dict[str, Any]]:
        yield {"a": 1}


class Answer(BaseModel):
    text: str


class Text(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class Structured(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=Answer)


class Silent(AgentNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(output_type=Answer)


class Chat(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(model_name="openai:some")


class LocalChat(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(model_name="local:")


class DefaultChat(ModelStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig()


class ReadsTheRun(AgentStreamingNode):
    takes_client_form = True

    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(instructions=self.task_context.event.get_message())


class Unannotated(Node):
    async def process(self, task_context: TaskContext) -> Any:
        yield "words"


class SaysText(Unannotated):
    speaks_json = False


class AtOnce(ConcurrentNode):
    pass


def flow(*nodes: type[Node], schema: type[BaseModel] = OpenAIChatSchema) -> type[Workflow]:
    chain = [
        NodeConfig(node=node, connections=nodes[at + 1 : at + 2]) for at, node in enumerate(nodes)
    ]
    drawn = WorkflowSchema(event_schema=schema, start=nodes[0], nodes=chain)
    return type("TicketTriageWorkflow", (Workflow,), {"workflow_schema": drawn})


def test_ids_are_the_members_names_in_lower_case() -> None:
    class Registry(Enum):
        FIRST = flow(Words)
        SECOND_ONE = flow(Words, Mixed)

    catalog = Catalog(Registry, default="second_one", aliases={"gpt-4o": "first", "*": "default"})
    assert [served.id for served in catalog.served] == ["first", "second_one"]
    assert catalog.find("default").id == "second_one"
    assert catalog.find("gpt-4o").id == "first"
    assert catalog.find("anything").id == "second_one"


def test_an_alias_for_all_others_leaves_default_alone() -> None:
    # The example: `gpt-4o=chat,*=chat`, with the default as delivered.
    pairs = {"streaming": flow(Words), "chat": flow(Words, Mixed)}
    aliases = {"gpt-4o": "chat", "*": "chat"}
    catalog = Catalog(pairs, default="streaming", aliases=aliases)
    assert catalog.find("default").id == "streaming"
    assert catalog.find("gpt-4o").id == "chat"
    assert catalog.find("gpt-5").id == "chat"
    assert Catalog(pairs, aliases=aliases).find("default").id == "chat", "there is no default"


def test_a_default_that_was_asked_for_has_to_be_there() -> None:
    with pytest.raises(ConfigurationError, match="LAUNCHPAD_DEFAULT_WORKFLOW names typo"):
        Catalog([flow(Words)], default="typo", default_wanted=True)
    environment = Settings(default_workflow="typo")
    with pytest.raises(ConfigurationError, match="there is ticket_triage"):
        create_app([flow(Words)], environment)


def test_classes_without_a_registry_are_named_after_themselves() -> None:
    catalog = Catalog([flow(Words)], default="streaming")
    assert [served.id for served in catalog.served] == ["ticket_triage"]
    assert catalog.find("default").id == "ticket_triage", "one workflow needs no naming"


def test_an_unknown_model_lists_the_known() -> None:
    catalog = Catalog({"a": flow(Words), "b": flow(Words)}, default="a")
    with pytest.raises(UnknownModelError, match="This server has: a, b, default"):
        catalog.find("c")


def test_who_names_no_model_is_told_that_there_is_no_default() -> None:
    catalog = Catalog({"a": flow(Words), "b": flow(Words)}, default="streaming")
    for asked, words in (
        (None, "The request names no model, which means the default workflow"),
        ("default", "The request asks for the default workflow"),
    ):
        with pytest.raises(UnknownModelError, match=words) as told:
            catalog.find(asked)
        assert "this server has none; name one in `model`" in str(told.value)
        assert "This server has: a, b." in str(told.value)
        assert "LAUNCHPAD_DEFAULT_WORKFLOW" in str(told.value)
    with pytest.raises(UnknownModelError, match=r"^The model 'c' does not exist"):
        catalog.find("c")
    assert Catalog([flow(Words)], default="streaming").find(None).id == "ticket_triage"


def test_an_empty_registry_is_refused() -> None:
    class Nothing(Enum):
        pass

    settings = Settings(_env_file=None)
    empty: list[Any] = [[], {}, (), Nothing]
    for registry in empty:
        for make in (create_app, create_router):
            with pytest.raises(ConfigurationError, match=r"registry is empty.*AnswerWorkflow"):
                make(registry, settings)


class WrongConfig(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(fallbacks="gpt-4o")


class WrongTool(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(tools=["search"])


class NoConfig(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return None  # type: ignore[return-value]


class UnknownField(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(system_promt="Be kind.")  # type: ignore[call-arg]


class WrongSettings(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return AgentConfig(model_settings="hot")  # type: ignore[arg-type]


async def late() -> AgentConfig:
    return AgentConfig()


class LateConfig(AgentStreamingNode):
    def get_agent_config(self) -> AgentConfig:
        return late()  # type: ignore[return-value]


def test_a_wrong_config_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async def start(*nodes: type[Node]) -> list[str]:
        caplog.clear()
        await warm_up(Catalog({"x": flow(*nodes)}).served)
        return [record.message for record in caplog.records if record.levelname == "WARNING"]

    def told(*nodes: type[Node]) -> list[str]:
        found = asyncio.run(start(*nodes))
        problems = look_at(Catalog({"x": flow(*nodes)}).served, Settings(_env_file=None)).problems
        for line, node in zip(found, nodes, strict=False):
            assert line.startswith(f"{node.__name__} cannot run: ")
        first = [f"{nodes[0].__name__}: {line.partition(': ')[2]}" for line in found[:1]]
        assert list(problems.values()) == first
        return found

    (fallbacks, tools) = told(WrongConfig, WrongTool)
    assert "fallbacks=['gpt-4o']" in fallbacks
    assert "tools holds the str 'search'" in tools
    assert ["returned None" in line for line in told(NoConfig)] == [True]
    assert ["did you mean system_prompt?" in line for line in told(UnknownField)] == [True]
    assert ["model_settings is the str 'hot'" in line for line in told(WrongSettings)] == [True]
    assert ["is async" in line for line in told(LateConfig)] == [True]
    with override_model(ScriptedModel()):
        assert not told(ReadsTheRun), "it can only be told in a run"
        assert not told(Text)


def test_an_event_schema_without_from_chat_is_left_out_with_the_reason() -> None:
    catalog = Catalog({"a": flow(Words), "b": flow(Words, schema=Answer)})
    assert [one.id for one in catalog.served] == ["a"]
    (left_out,) = catalog.left_out
    assert "Answer" in (left_out.obstacle or "")
    assert "from_chat" in (left_out.obstacle or "")


class WantsDatabase(Workflow):
    workflow_schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=Words)

    def __init__(self, database: object) -> None:
        super().__init__()
        self.database = database


class OwnStart(Workflow):
    workflow_schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=Words)

    def __init__(self) -> None:
        self.greeting = "Good day"


def test_a_workflow_that_cannot_be_made_for_a_request_is_left_out_with_the_reason() -> None:
    catalog = Catalog({"a": OwnStart, "b": WantsDatabase})
    assert [one.id for one in catalog.served] == ["a"]
    (left_out,) = catalog.left_out
    assert "WantsDatabase() cannot be called without arguments" in (left_out.obstacle or "")
    assert "'database'" in (left_out.obstacle or "")


def test_an_init_of_a_workflow_s_own_need_not_call_ours() -> None:
    context = OwnStart().run({"messages": [{"role": "user", "content": "hi"}]})
    assert context.get_output(Words)


def with_from_chat(from_chat: Any) -> type[Workflow]:
    return flow(Words, schema=type("Parcel", (Answer,), {"from_chat": from_chat}))


async def asynchronous(cls: type[BaseModel], request: OpenAIChatSchema) -> BaseModel:
    return cls(text="hi")


@pytest.mark.parametrize(
    ("from_chat", "remedy"),
    [
        (lambda self, request: self, "make it a classmethod"),
        (classmethod(asynchronous), "make it a plain classmethod"),
    ],
)
def test_a_from_chat_that_cannot_be_called_is_told_at_the_start(
    from_chat: Any, remedy: str
) -> None:
    (left_out,) = Catalog({"a": with_from_chat(from_chat)}).left_out
    assert "Parcel.from_chat" in (left_out.obstacle or "")
    assert remedy in (left_out.obstacle or "")


def test_a_from_chat_that_gives_no_event_is_the_workflows_fault() -> None:
    request = OpenAIChatSchema.model_validate({"messages": [{"role": "user", "content": "hi"}]})

    def event(from_chat: Any) -> Any:
        (served,) = Catalog({"a": with_from_chat(classmethod(from_chat))}).served
        return served.event(request)

    assert event(lambda cls, request: cls(text=request.get_message())).text == "hi"
    assert event(lambda cls, request: {"text": "hi"}) == {"text": "hi"}

    def deferred(cls: type[BaseModel], request: OpenAIChatSchema) -> Any:
        return asynchronous(cls, request)

    for wrong, named in ((lambda cls, request: None, "NoneType"), (deferred, "coroutine")):
        with pytest.raises(DefinitionError, match=f"TicketTriageWorkflow: .* gave {named}") as told:
            event(wrong)
        assert told.value.status == 500


def test_wrong_registries_and_aliases_are_refused() -> None:
    class Wrong(Enum):
        NUMBER = 7

    with pytest.raises(ConfigurationError, match="number is 7"):
        Catalog(Wrong)

    class Unfinished(Workflow):
        pass

    with pytest.raises(ConfigurationError, match="Unfinished, which has no workflow_schema"):
        Catalog([Unfinished])
    with pytest.raises(ConfigurationError, match="maps x to nowhere"):
        Catalog([flow(Words)], aliases={"x": "nowhere"})


@pytest.mark.parametrize(
    ("nodes", "sampling", "form", "structured"),
    [
        ((Words,), False, False, False),
        ((Mixed,), False, False, True),
        ((Text,), True, False, False),
        ((Structured,), True, False, True),
        ((Text, Structured), True, False, True),
        ((Silent,), False, False, True),
        ((Chat,), True, True, False),
        ((LocalChat,), True, False, False),
        ((ReadsTheRun,), True, True, True),
        ((Unannotated,), False, False, True),
        ((SaysText,), False, False, False),
    ],
)
def test_capabilities_are_read_off_the_nodes(
    nodes: tuple[type[Node], ...], sampling: bool, form: bool, structured: bool
) -> None:
    can = capabilities_of(flow(*nodes))
    assert (can.sampling, can.client_tools, can.structured) == (sampling, form, structured)


def test_a_concurrent_node_says_only_what_its_members_say() -> None:
    drawn = WorkflowSchema(
        event_schema=OpenAIChatSchema,
        start=AtOnce,
        nodes=[NodeConfig(node=AtOnce, concurrent_nodes=[Text, Words])],
    )
    workflow = type("Both", (Workflow,), {"workflow_schema": drawn})
    assert not capabilities_of(workflow).structured


def test_the_default_model_decides_about_tools() -> None:
    (served,) = Catalog([flow(DefaultChat)]).served

    def takes_tools(model: str) -> bool:
        return served.capabilities(Settings(_env_file=None, model=model)).client_tools

    assert not takes_tools("local")
    assert takes_tools("openai:some")
    assert takes_tools("bogus"), "the run says what is wrong with it"
    with override_model(ScriptedModel()):
        assert takes_tools("local"), "the model that stands in can call them"


def test_text_only_examples_are_refused_valid_json_chunks() -> None:
    settings = Settings(_env_file=None)
    structured = {
        one.id for one in Catalog(WorkflowRegistry).served if one.capabilities(settings).structured
    }
    assert structured == {"streaming"}


def test_the_shipped_registry() -> None:
    catalog = Catalog(WorkflowRegistry, default="streaming")
    assert {"streaming", "chat", "routing", "concurrent"} <= {one.id for one in catalog.served}
    assert not catalog.left_out
