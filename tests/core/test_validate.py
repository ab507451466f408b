"""A wrong workflow is refused when its class is defined, with a message that says the remedy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from launchpad.core.nodes.agent import AgentConfig, AgentNode
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.langchain import LangChainStreamingNode
from launchpad.core.nodes.router import BaseRouter, RouterNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import DefinitionError


class Event(BaseModel):
    text: str = ""


class A(Node):
    async def process(self, task_context: TaskContext) -> Any:
        return None


class B(A):
    pass


class C(A):
    pass


class ToB(RouterNode):
    def determine_next_node(self, task_context: TaskContext) -> Any:
        return B


class Router(BaseRouter):
    routes = (ToB,)
    fallback = C


class Both(ConcurrentNode):
    pass


class BothAgain(ConcurrentNode):
    pass


class EitherPair(BaseRouter):
    fallback = Both


class NotFinished(Node):
    pass


class NoArgument(Node):
    async def process(self) -> Any:  # type: ignore[override]
        return None


class WantsMore(Node):
    def __init__(self, task_context: TaskContext, database: object) -> None:
        self.database = database

    async def process(self, task_context: TaskContext) -> Any:
        return None


class NotCallable(Node):
    process = 3  # type: ignore[assignment]


class ChoosesNothing(BaseRouter):
    pass


class ConfigProperty(AgentNode):
    @property
    def get_agent_config(self) -> Any:  # type: ignore[override]
        return AgentConfig()


class ConfigAttribute(AgentNode):
    get_agent_config = AgentConfig()  # type: ignore[assignment]


class ConfigOfTheRun(AgentNode):
    def get_agent_config(self, task_context: TaskContext) -> AgentConfig:  # type: ignore[override]
        return AgentConfig()


class ConfigAsync(AgentNode):
    async def get_agent_config(self) -> AgentConfig:  # type: ignore[override]
        return AgentConfig()


class ChainProperty(LangChainStreamingNode):
    @property
    def get_runnable(self) -> Any:  # type: ignore[override]
        return None


class RuleWithoutRule(RouterNode):
    pass


class RuleWithoutContext(RouterNode):
    def determine_next_node(self) -> Any:  # type: ignore[override]
        return B


class RuleOfAWord(RouterNode):
    def __init__(self, word: str) -> None:
        self.word = word

    def determine_next_node(self, task_context: TaskContext) -> Any:
        return B


def routing_by(rule: object) -> type[Workflow]:
    router = type("Chooser", (BaseRouter,), {"routes": [rule]})
    return define(start=router, nodes=[NodeConfig(node=router, connections=[B])])


class OneRule(BaseRouter):
    routes = ToB()  # type: ignore[assignment]


def define(**schema: Any) -> type[Workflow]:
    body = {"workflow_schema": WorkflowSchema(**{"event_schema": Event, **schema})}
    return type("Flow", (Workflow,), body)


REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "cycle": (
        lambda: define(
            start=A,
            nodes=[NodeConfig(node=A, connections=[B]), NodeConfig(node=B, connections=[A])],
        ),
        ("A → B → A", "cycle", "remove"),
    ),
    "self loop": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=[A])]),
        ("A → A",),
    ),
    "unreachable": (
        lambda: define(start=A, nodes=[NodeConfig(node=A), NodeConfig(node=B)]),
        ("B cannot be reached from A", "connect it"),
    ),
    "several connections without a router": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=[B, C])]),
        ("A connects to several nodes (B, C)", "BaseRouter"),
    ),
    "is_router on a plain node": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=[B], is_router=True)]),
        ("A has is_router=True", "BaseRouter"),
    ),
    "fallback outside the graph": (
        lambda: define(start=Router, nodes=[NodeConfig(node=Router, connections=[B])]),
        ("Router routes to C", "connections"),
    ),
    "start not among the nodes": (
        lambda: define(start=B, nodes=[NodeConfig(node=A)]),
        ("start is B", "NodeConfig(node=B"),
    ),
    "an instance for a class": (
        lambda: define(start=A(), nodes=[]),
        ("start is A", "not an instance"),
    ),
    "something else for a node": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=[int])]),  # type: ignore[list-item]
        ("connection of A is int",),
    ),
    "a bare node among the configs": (
        lambda: define(start=A, nodes=[A]),
        ("NodeConfig(node=",),
    ),
    "event_schema of a wrong type": (
        lambda: define(start=A, nodes=[NodeConfig(node=A)], event_schema=dict),
        ("event_schema is dict", "pydantic"),
    ),
    "a node without process": (
        lambda: define(start=NotFinished, nodes=[]),
        ("NotFinished does not define process",),
    ),
    "a node twice": (
        lambda: define(start=A, nodes=[NodeConfig(node=A), NodeConfig(node=A)]),
        ("A has two NodeConfigs",),
    ),
    "a concurrent node with nothing to run": (
        lambda: define(start=Both, nodes=[NodeConfig(node=Both)]),
        ("Both", "without concurrent_nodes"),
    ),
    "concurrent_nodes on a plain node": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, concurrent_nodes=[B])]),
        ("A has concurrent_nodes", "ConcurrentNode"),
    ),
    "a router beside others": (
        lambda: define(start=Both, nodes=[NodeConfig(node=Both, concurrent_nodes=[Router])]),
        ("Router cannot run inside Both",),
    ),
    "a member twice": (
        lambda: define(start=Both, nodes=[NodeConfig(node=Both, concurrent_nodes=[A, A])]),
        ("A would run twice", "concurrent_nodes of Both", "take it out"),
    ),
    "a member that comes after": (
        lambda: define(
            start=Both, nodes=[NodeConfig(node=Both, concurrent_nodes=[A, B], connections=[A])]
        ),
        ("A would run twice", "by itself", "take it out"),
    ),
    "a member that came before": (
        lambda: define(
            start=A,
            nodes=[
                NodeConfig(node=A, connections=[Both]),
                NodeConfig(node=Both, concurrent_nodes=[A, B]),
            ],
        ),
        ("A would run twice", "take it out"),
    ),
    "a member of two that follow each other": (
        lambda: define(
            start=Both,
            nodes=[
                NodeConfig(node=Both, concurrent_nodes=[A], connections=[BothAgain]),
                NodeConfig(node=BothAgain, concurrent_nodes=[A]),
            ],
        ),
        ("A would run twice", "of Both and", "of BothAgain"),
    ),
    "nodes None": (
        lambda: define(start=A, nodes=None),
        ("nodes is None", "nodes=[NodeConfig(node=…)"),
    ),
    "nodes one config": (
        lambda: define(start=A, nodes=NodeConfig(node=A)),
        ("nodes is NodeConfig", "nodes=[NodeConfig(node=…)"),
    ),
    "connections None": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=None)]),  # type: ignore[arg-type]
        ("connections of A is None", "connections=[…]"),
    ),
    "connections one node": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=B)]),  # type: ignore[arg-type]
        ("connections of A is B", "connections=[B]"),
    ),
    "connections a string": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections="B")]),  # type: ignore[arg-type]
        ("connections of A is str", "connections=[…]"),
    ),
    "a name for a connection": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=["B"])]),  # type: ignore[list-item]
        ("a connection of A is the str 'B'", "without quotes"),
    ),
    "a name for the fallback": (
        lambda: define(
            start=type("Lost", (BaseRouter,), {"fallback": "B"}),
            nodes=[],
        ),
        ("fallback of Lost is the str 'B'", "without quotes"),
    ),
    "a router that chooses nothing": (
        lambda: define(
            start=ChoosesNothing, nodes=[NodeConfig(node=ChoosesNothing, connections=[B])]
        ),
        ("ChoosesNothing has no routes and no fallback", "override route()"),
    ),
    "concurrent_nodes None": (
        lambda: define(start=Both, nodes=[NodeConfig(node=Both, concurrent_nodes=None)]),  # type: ignore[arg-type]
        ("concurrent_nodes of Both is None", "concurrent_nodes=[…]"),
    ),
    "routes one rule": (
        lambda: define(start=OneRule, nodes=[NodeConfig(node=OneRule, connections=[B])]),
        ("routes of OneRule is ToB", "routes = ["),
    ),
    "routes None": (
        lambda: define(
            start=type("Lost", (BaseRouter,), {"routes": None}),
            nodes=[],
        ),
        ("routes of Lost is None", "routes = ["),
    ),
    "a rule that is none": (lambda: routing_by(B), ("Chooser.routes holds B", "RouterNode")),
    "a rule without its method": (
        lambda: routing_by(RuleWithoutRule),
        ("RuleWithoutRule does not define determine_next_node",),
    ),
    "a rule that takes no context": (
        lambda: routing_by(RuleWithoutContext()),
        ("RuleWithoutContext.determine_next_node", "determine_next_node(self, task_context)"),
    ),
    "a rule's class that needs arguments": (
        lambda: routing_by(RuleOfAWord),
        ("RuleOfAWord() needs arguments", "routes = [RuleOfAWord(…), …]"),
    ),
    "get_agent_config a property": (
        lambda: define(start=ConfigProperty),
        ("ConfigProperty.get_agent_config is property", "def get_agent_config(self)"),
    ),
    "get_agent_config a value": (
        lambda: define(start=ConfigAttribute),
        ("ConfigAttribute.get_agent_config is AgentConfig", "def get_agent_config(self)"),
    ),
    "get_agent_config of the context": (
        lambda: define(start=ConfigOfTheRun),
        ("ConfigOfTheRun.get_agent_config cannot", "self alone", "def get_agent_config(self)"),
    ),
    "get_agent_config async": (
        lambda: define(start=ConfigAsync),
        ("ConfigAsync.get_agent_config is async", "plain def"),
    ),
    "get_runnable a property": (
        lambda: define(start=ChainProperty),
        ("ChainProperty.get_runnable is property", "def get_runnable(self)"),
    ),
    "process without an argument": (
        lambda: define(start=NoArgument, nodes=[]),
        ("NoArgument.process", "process(self, task_context)"),
    ),
    "__init__ that wants more than the context": (
        lambda: define(start=WantsMore, nodes=[]),
        ("WantsMore.__init__", "'database'", "defaults"),
    ),
    "process that is no method": (
        lambda: define(start=NotCallable, nodes=[]),
        ("NotCallable.process is int", "process(self, task_context)"),
    ),
    "two classes of one name": (
        lambda: define(start=A, nodes=[NodeConfig(node=A, connections=[type("A", (B,), {})])]),
        ("two node classes are called A",),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_remedy(case: str) -> None:
    make, expected = REFUSED[case]
    with pytest.raises(DefinitionError) as caught:
        make()
    for words in ("Flow", *expected):
        assert words in str(caught.value)


def test_schema_of_a_wrong_type() -> None:
    with pytest.raises(DefinitionError, match="workflow_schema is dict"):
        type("Flow", (Workflow,), {"workflow_schema": {}})


def test_workflow_without_schema_cannot_be_made() -> None:
    class Base(Workflow):
        """An abstract base for others."""

    with pytest.raises(DefinitionError, match="Base has no workflow_schema"):
        Base()


def test_a_connected_node_needs_no_config_and_a_diamond_is_no_cycle() -> None:
    class Diamond(BaseRouter):
        fallback = B

    flow = define(
        start=Diamond,
        nodes=[
            NodeConfig(node=Diamond, connections=[B, C], is_router=True),
            NodeConfig(node=B, connections=[A]),
            NodeConfig(node=C, connections=[A]),
        ],
    )
    assert flow().run({}).should_stop is False


def test_a_member_may_stand_on_two_paths_of_which_one_is_taken() -> None:
    define(
        start=EitherPair,
        nodes=[
            NodeConfig(node=EitherPair, connections=[Both, BothAgain, A]),
            NodeConfig(node=Both, concurrent_nodes=[A, B]),
            NodeConfig(node=BothAgain, concurrent_nodes=[A, C]),
        ],
    )


@pytest.mark.parametrize("connections", [[A, Both], [Both, A]])
def test_a_member_that_also_runs_by_itself_may_lead_on(connections: list[type[Node]]) -> None:
    router = type("Either", (BaseRouter,), {"fallback": A})
    define(
        start=router,
        nodes=[
            NodeConfig(node=router, connections=connections),
            NodeConfig(node=Both, concurrent_nodes=[A, B]),
            NodeConfig(node=A, connections=[C]),
        ],
    )


def test_a_router_may_get_its_routes_from_its_own_code() -> None:
    def init(self: BaseRouter, task_context: TaskContext | None = None) -> None:
        BaseRouter.__init__(self, task_context)
        self.routes = [ToB()]

    async def route(self: BaseRouter, task_context: TaskContext) -> Any:
        return B

    for own in ({"__init__": init}, {"route": route}, {"routes": property(lambda _: [ToB()])}):
        router = type("Own", (BaseRouter,), own)
        flow = define(start=router, nodes=[NodeConfig(node=router, connections=[B, C])])
        assert flow().run({}).should_stop is False


def test_process_may_be_wrapped_and_take_any_names() -> None:
    def wrapper(*arguments: Any, **named: Any) -> Any:
        return None

    for process in (wrapper, lambda _self, ctx, more=None: None, staticmethod(lambda ctx: None)):
        define(start=type("Free", (Node,), {"process": process}), nodes=[])


def test_a_chain_of_five_thousand_nodes_is_no_recursion() -> None:
    nodes = [type(f"N{i}", (A,), {}) for i in range(5000)]
    configs = [NodeConfig(node=a, connections=[b]) for a, b in itertools.pairwise(nodes)]
    define(start=nodes[0], nodes=configs)


def test_a_config_may_be_given_in_other_ways() -> None:
    def config_of(_node: Any, more: Any = None) -> AgentConfig:
        return AgentConfig()

    given: tuple[Any, ...] = (
        config_of,
        staticmethod(AgentConfig),
        classmethod(config_of),
        partial(AgentConfig, instructions="Be kind."),
    )
    for one in given:
        define(start=type("Free", (AgentNode,), {"get_agent_config": one}))


def test_a_plain_node_s_methods_may_have_any_name() -> None:
    class Own(Node):
        def get_agent_config(self, tier: str) -> str:
            return tier

        async def get_runnable(self) -> str:
            return "run"

        async def process(self, task_context: TaskContext) -> Any:
            return self.get_agent_config("gold ") + await self.get_runnable()

    assert define(start=Own)().run({}).nodes == {"Own": "gold run"}


def test_a_rule_that_needs_arguments_may_be_an_instance() -> None:
    assert routing_by(RuleOfAWord("tea"))().run({}).should_stop is False
