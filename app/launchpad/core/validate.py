"""Checks a workflow when its class is defined, so that a wrong one never starts.

Each error names the workflow, the node and the remedy.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from launchpad.core.declared import check_node, check_rule, check_sequence, named
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.nodes.router import BaseRouter
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.errors import DefinitionError

Graph = dict[type[Node], NodeConfig]


def validate(workflow: str, schema: object) -> Graph:
    """Check `schema` and return every node with its config. Raises `DefinitionError`."""
    if not isinstance(schema, WorkflowSchema):
        raise DefinitionError(
            f"{workflow}.workflow_schema is {named(schema)}; make it WorkflowSchema(…)."
        )
    event_schema: object = schema.event_schema
    if not (isinstance(event_schema, type) and issubclass(event_schema, BaseModel)):
        raise DefinitionError(
            f"{workflow}: event_schema is {named(schema.event_schema)}; give a pydantic model "
            "class such as OpenAIChatSchema."
        )
    graph = _collect(workflow, schema)
    for config in graph.values():
        _check_config(workflow, config)
    _check_reachable(workflow, schema.start, graph)
    _check_cycles(workflow, schema.start, graph)
    _check_runs_once(workflow, schema.start, graph)
    _check_distinct_names(workflow, graph)
    return graph


def _collect(workflow: str, schema: WorkflowSchema) -> Graph:
    check_node(workflow, "start", schema.start)
    check_sequence(workflow, "nodes", schema.nodes, "nodes=[NodeConfig(node=…), …]")
    graph: Graph = {}
    for config in schema.nodes:
        if not isinstance(config, NodeConfig):
            raise DefinitionError(
                f"{workflow}: nodes holds {named(config)}; wrap it as NodeConfig(node=…)."
            )
        check_node(workflow, "NodeConfig.node", config.node)
        if config.node in graph:
            raise DefinitionError(
                f"{workflow}: {config.node.__name__} has two NodeConfigs; keep one."
            )
        _check_lists(workflow, config)
        graph[config.node] = config
    for config in list(graph.values()):
        for target in config.connections:
            check_node(workflow, f"a connection of {config.node.__name__}", target)
            graph.setdefault(target, NodeConfig(node=target))
        for member in config.concurrent_nodes:
            check_node(workflow, f"concurrent_nodes of {config.node.__name__}", member)
    if schema.start not in graph:
        if schema.nodes:
            raise DefinitionError(
                f"{workflow}: start is {schema.start.__name__}, which is not among nodes; add "
                f"NodeConfig(node={schema.start.__name__}, connections=[…])."
            )
        graph[schema.start] = NodeConfig(node=schema.start)
    return graph


def _check_lists(workflow: str, config: NodeConfig) -> None:
    node = config.node.__name__
    for name in ("connections", "concurrent_nodes"):
        given: object = getattr(config, name)
        written = given.__name__ if isinstance(given, type) else "…"
        check_sequence(workflow, f"{name} of {node}", given, f"{name}=[{written}]")


def _check_config(workflow: str, config: NodeConfig) -> None:
    name = config.node.__name__
    routes = issubclass(config.node, BaseRouter)
    if config.is_router and not routes:
        raise DefinitionError(
            f"{workflow}: {name} has is_router=True but is no router; derive it from BaseRouter."
        )
    if len(config.connections) > 1 and not routes:
        targets = ", ".join(target.__name__ for target in config.connections)
        raise DefinitionError(
            f"{workflow}: {name} connects to several nodes ({targets}) but does not choose; derive "
            "it from BaseRouter and set is_router=True, or run them at once in a ConcurrentNode."
        )
    if config.concurrent_nodes and not issubclass(config.node, ConcurrentNode):
        raise DefinitionError(
            f"{workflow}: {name} has concurrent_nodes but is no ConcurrentNode; derive it from "
            "ConcurrentNode."
        )
    if issubclass(config.node, ConcurrentNode) and not config.concurrent_nodes:
        raise DefinitionError(
            f"{workflow}: {name} is a ConcurrentNode without concurrent_nodes; name them in its "
            "NodeConfig."
        )
    for member in config.concurrent_nodes:
        if issubclass(member, BaseRouter | ConcurrentNode):
            raise DefinitionError(
                f"{workflow}: {member.__name__} cannot run inside {name}, because it leads to "
                "other nodes; connect it before or after."
            )
    if issubclass(config.node, BaseRouter):
        for target in _declared_targets(workflow, config.node):
            if target not in config.connections:
                raise DefinitionError(
                    f"{workflow}: {name} routes to {target.__name__}, which is not among its "
                    f"connections; add it to NodeConfig(node={name}, connections=[…])."
                )
        _check_chooses(workflow, config.node)


def _check_chooses(workflow: str, router: type[BaseRouter]) -> None:
    """A router needs something to choose by, unless code of its own may bring that."""
    has_own_code = (
        router.route is not BaseRouter.route
        or router.process is not BaseRouter.process
        or router.__init__ is not Node.__init__
    )
    if not (has_own_code or router.routes or router.fallback is not None):
        raise DefinitionError(
            f"{workflow}: {router.__name__} has no routes and no fallback, so nothing comes after "
            "it; set routes = [MyRule(), …] or fallback = MyNode, or override route()."
        )


def _declared_targets(workflow: str, router: type[BaseRouter]) -> Iterator[type[Node]]:
    """What a router can name and we can see without running it."""
    fallback: Any = router.fallback
    if fallback is not None and not isinstance(fallback, property):
        chosen = type(fallback) if isinstance(fallback, Node) else fallback
        check_node(workflow, f"fallback of {router.__name__}", chosen)
        yield chosen
    if isinstance(router.routes, property):
        return
    remedy = "routes = [MyRule(), …]"
    check_sequence(workflow, f"routes of {router.__name__}", router.routes, remedy)
    for rule in router.routes:
        check_rule(workflow, router.__name__, rule)
        rule_class = rule if isinstance(rule, type) else type(rule)
        hint = inspect.get_annotations(rule_class.determine_next_node).get("return")
        if isinstance(hint, type) and issubclass(hint, Node) and hint is not Node:
            yield hint


def _check_reachable(workflow: str, start: type[Node], graph: Graph) -> None:
    reached: set[type[Node]] = set()
    members: set[type[Node]] = set()
    frontier = [start]
    while frontier:
        node = frontier.pop()
        if node not in reached:
            reached.add(node)
            frontier.extend(graph[node].connections)
            members.update(graph[node].concurrent_nodes)
    lost = [node.__name__ for node in graph if node not in reached | members]
    if lost:
        raise DefinitionError(
            f"{workflow}: {', '.join(lost)} cannot be reached from {start.__name__}; connect it or "
            "remove its NodeConfig."
        )


def _check_cycles(workflow: str, start: type[Node], graph: Graph) -> None:
    done: set[type[Node]] = set()
    path: list[type[Node]] = []
    # Iterative, so that a long chain is no recursion: a node is left when its turn comes again.
    stack: list[tuple[type[Node], bool]] = [(start, False)]
    while stack:
        node, leaving = stack.pop()
        if leaving:
            path.pop()
            done.add(node)
        elif node in path:
            circle = " → ".join(n.__name__ for n in [*path[path.index(node) :], node])
            raise DefinitionError(
                f"{workflow}: {circle} is a cycle; a workflow runs each node once, so remove one "
                "of these connections."
            )
        elif node not in done:
            path.append(node)
            stack.append((node, True))
            stack.extend((target, False) for target in graph[node].connections)


def _check_runs_once(workflow: str, start: type[Node], graph: Graph) -> None:
    """A node that a ConcurrentNode runs must not run at another place of the same path."""
    places: dict[type[Node], list[type[Node]]] = {}
    for config in graph.values():
        for member in config.concurrent_nodes:
            places.setdefault(member, []).append(config.node)
    targets = {start, *(target for config in graph.values() for target in config.connections)}
    for member, runners in places.items():
        if member in targets:
            runners.append(member)
        for at, one in enumerate(runners):
            for other in runners[at + 1 :]:
                if one is other or _leads_to(graph, one, other) or _leads_to(graph, other, one):
                    raise DefinitionError(
                        f"{workflow}: {member.__name__} would run twice, {_as(member, one)} and "
                        f"{_as(member, other)}; a workflow runs each node once, so take it out of "
                        "one place, or derive a class of its own name from it for the second."
                    )


def _as(member: type[Node], place: type[Node]) -> str:
    return "by itself" if place is member else f"in concurrent_nodes of {place.__name__}"


def _leads_to(graph: Graph, start: type[Node], end: type[Node]) -> bool:
    seen: set[type[Node]] = set()
    frontier = [start]
    while frontier:
        node = frontier.pop()
        if node is end:
            return True
        if node not in seen:
            seen.add(node)
            frontier.extend(graph[node].connections)
    return False


def _check_distinct_names(workflow: str, graph: Graph) -> None:
    members = {n for config in graph.values() for n in config.concurrent_nodes}
    seen: dict[str, type[Node]] = {}
    for node in [*graph, *(members - graph.keys())]:
        other = seen.setdefault(node.__name__, node)
        if other is not node:
            raise DefinitionError(
                f"{workflow}: two node classes are called {node.__name__}; outputs are kept by "
                "class name, so rename one."
            )
