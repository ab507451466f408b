"""`/chat/stream` and `/chat/stream-meta` over a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Any

import httpx
import pytest

from launchpad.api.app import create_app
from launchpad.core.nodes.base import Node
from launchpad.core.nodes.concurrent import ConcurrentNode
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.events import ReasoningDelta, RefusalDelta
from launchpad.testing.server import Server, serve
from launchpad.testing.sse import open_stream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

from .conftest import (
    EchoNode,
    Flows,
    GatedNode,
    SilentNode,
    TicketNode,
    gates,
    one_node,
    settings,
)

PLAIN, META = "/chat/stream", "/chat/stream-meta"


class ThinkingNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield ReasoningDelta("", "let me see")
        yield "Fine."
        yield RefusalDelta("", " But no.")


class RecordNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[Any]:
        yield {"said": task_context.event.get_message()}


class PairNode(ConcurrentNode):
    pass


class PromptNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield json.dumps([[one.role, one.content] for one in task_context.event.messages])


class Customer(OpenAIChatSchema):
    customer: str = "nobody"
    visits: int = 0


class CustomerNode(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        event: Customer = task_context.event
        yield f"{event.customer}, {event.visits}, {event.temperature}"


class Order(Customer):
    customer: str


def flow(*configs: NodeConfig) -> type[Workflow]:
    class Made(Workflow):
        workflow_schema = WorkflowSchema(
            event_schema=OpenAIChatSchema, start=configs[0].node, nodes=configs
        )

    return Made


class Shapes(Enum):
    ECHO = one_node(EchoNode)
    THINKING = one_node(ThinkingNode)
    SERIES = flow(NodeConfig(node=EchoNode, connections=[RecordNode]), NodeConfig(node=RecordNode))
    AT_ONCE = flow(NodeConfig(node=PairNode, concurrent_nodes=[EchoNode, ThinkingNode]))
    PROMPT = one_node(PromptNode)
    CUSTOMER = one_node(CustomerNode, Customer)
    ORDER = one_node(CustomerNode, Order)
    GATED = one_node(GatedNode)
    SILENT = one_node(SilentNode)
    TICKETS = one_node(TicketNode)


@pytest.fixture(scope="module")
def shapes() -> Iterator[str]:
    with serve(create_app(Shapes, settings())) as running:
        yield running.url


def events_of(text: str) -> list[Any]:
    assert text.endswith("\n\n")
    lines = [line for frame in text.split("\n\n") for line in frame.split("\n") if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line[:4] != "id: "]


def ask(url: str, message: str = "hello big world", **fields: Any) -> list[Any]:
    answer = httpx.post(url, json={"message": message, **fields}, timeout=30)
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


def words(events: list[Any]) -> str:
    return "".join(event.get("token", "") for event in events)


def test_the_documented_stream_byte_for_byte(client: httpx.Client) -> None:
    answer = client.post(PLAIN, json={"message": "hello world"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text == (
        'data: {"token": "hello ", "done": false}\n\n'
        'data: {"token": "world ", "done": false}\n\n'
        'data: {"token": "", "done": true}\n\n'
    )


def test_the_documented_stream_with_metadata(client: httpx.Client) -> None:
    *events, done = events_of(client.post(META, json={"message": "hello world"}).text)
    assert events == [
        {"event": "start", "model": "echo"},
        {"event": "token", "token": "hello "},
        {"event": "token", "token": "world "},
    ]
    latency = done.pop("latency_ms")
    assert latency >= 0
    assert latency == round(latency)
    # No model counted, so the token events are what there is to count.
    assert done == {"event": "done", "tokens": 2}


@pytest.mark.parametrize(("model", "said"), [("ticket", "ticket: hi"), ("gpt-4o", "ticket: hi")])
def test_model_picks_the_workflow_and_is_named_as_asked_for(
    server: Server, model: str, said: str
) -> None:
    assert words(ask(server.url + PLAIN, "hi", model=model)) == said
    start, *rest = ask(server.url + META, "hi", model=model)
    assert start == {"event": "start", "model": model}
    assert words(rest) == said


def test_nobody_s_model_is_the_default(server: Server) -> None:
    for fields in ({}, {"model": None}, {"model": ""}, {"model": "default"}):
        assert words(ask(server.url + PLAIN, "hi", **fields)) == "hi "


def test_the_message_and_its_system_prompt_are_the_conversation(shapes: str) -> None:
    def asked(**fields: Any) -> Any:
        return json.loads(words(ask(shapes + PLAIN, "hi", model="prompt", **fields)))

    # The workflow's own instructions stand where the request has none.
    assert asked() == [["user", "hi"]]
    assert asked(system_prompt=None) == [["user", "hi"]]
    assert asked(system_prompt="Be brief.") == [["system", "Be brief."], ["user", "hi"]]
    assert asked(temperature=7, messages="?", stream=False) == [["user", "hi"]]


def test_what_the_workflow_s_own_schema_adds_is_taken_and_nothing_else(shapes: str) -> None:
    fields = {"customer": "Ada", "visits": 3, "temperature": 0.5}
    assert words(ask(shapes + PLAIN, model="customer", **fields)) == "Ada, 3, None"
    assert words(ask(shapes + PLAIN, model="customer")) == "nobody, 0, None"
    query = {"message": "hi", "model": "customer", "customer": "Ada", "visits": "3"}
    assert words(events_of(httpx.get(shapes + PLAIN, params=query).text)) == "Ada, 3, None"
    answer = httpx.post(shapes + META, json={"message": "hi", "model": "order"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "customer"


def test_reasoning_is_not_shown_and_a_refusal_is(shapes: str) -> None:
    assert words(ask(shapes + PLAIN, model="thinking")) == "Fine. But no."


def test_json_is_tokens_and_a_later_node_begins_a_paragraph(shapes: str) -> None:
    said = words(ask(shapes + META, "hi", model="series"))
    assert said == 'hi \n\n{"said":"hi"}'


def test_nodes_that_run_at_once_follow_each_other(shapes: str) -> None:
    said = words(ask(shapes + PLAIN, "hi", model="at_once"))
    assert said == "hi \n\nFine. But no."


BAD: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "no body": ({}, 400, None),
    "malformed": ({"content": b'{"message": "hi"'}, 400, None),
    "an array": ({"json": ["hi"]}, 400, None),
    "no message": ({"json": {"msg": "hi"}}, 400, "message"),
    "a message of a wrong type": ({"json": {"message": 7}}, 400, "message"),
    "a null message": ({"json": {"message": None}}, 400, "message"),
    "a prompt of a wrong type": ({"json": {"message": "", "system_prompt": []}}, 400, None),
    "a model of a wrong type": ({"json": {"message": "hi", "model": 1}}, 400, "model"),
    "an unknown model": ({"json": {"message": "hi", "model": "nope"}}, 404, "model"),
    "a workflow that is not served": ({"json": {"message": "", "model": "internal"}}, 404, "model"),
    "ten megabytes": ({"content": b"x" * 10_000_000}, 413, None),
}


@pytest.mark.parametrize("path", [PLAIN, META])
@pytest.mark.parametrize("case", BAD)
def test_a_request_that_is_not_valid_is_an_ordinary_error(
    client: httpx.Client, path: str, case: str
) -> None:
    request, status, param = BAD[case]
    answer = client.post(path, **request)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert param in {None, error["param"]}
    assert client.post(path, json={"message": "hi"}).status_code == 200


def test_other_methods_and_paths_are_ordinary_errors_too(client: httpx.Client) -> None:
    for path in (PLAIN, META):
        for method in ("PUT", "DELETE", "HEAD"):
            answer = client.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, POST"
    # There is no such workflow in this registry.
    assert client.post("/anthropic/stream", json={"message": "hi"}).status_code == 404


def test_every_failure_of_a_run_is_the_documented_event(server: Server) -> None:
    for model, said in (("broken", "The node BrokenNode failed."), ("limited", "Slow down.")):
        (failure,) = ask(server.url + PLAIN, model=model)
        assert failure == {"error": failure["error"], "done": True}
        assert said in failure["error"]
        start, failure = ask(server.url + META, model=model)
        assert start == {"event": "start", "model": model}
        assert failure == {"event": "error", "message": failure["message"]}
        assert said in failure["message"]
    token, failure = ask(server.url + PLAIN, "late", model="broken")
    assert token == {"token": "partly ", "done": False}
    assert failure == {"error": "The node BrokenNode failed.", "done": True}


def test_a_full_server_is_the_documented_event_too() -> None:
    full = settings(max_concurrent_runs=1, max_queued_runs=0)
    with (
        serve(create_app(Shapes, full)) as server,
        open_stream(server.url + PLAIN, {"message": "hi", "model": "gated"}) as first,
    ):
        assert first.next_event().data == '{"token": "first", "done": false}'
        (failure,) = ask(server.url + PLAIN)
        assert failure.keys() == {"error", "done"}
        start, failure = ask(server.url + META)
        assert start["event"] == "start"
        assert failure["event"] == "error"
        gates.release.set()
        assert words([json.loads(event.data) for event in first]) == " last"


def test_start_leaves_at_once(shapes: str) -> None:
    with open_stream(shapes + META, {"message": "hi", "model": "silent"}) as stream:
        assert json.loads(stream.next_event().data) == {"event": "start", "model": "silent"}
        assert gates.entered.wait(10)
    assert gates.cleaned.wait(10)


def test_start_waits_for_no_place_either() -> None:
    with (
        serve(create_app(Shapes, settings(max_concurrent_runs=1))) as server,
        open_stream(server.url + PLAIN, {"message": "hi", "model": "gated"}) as first,
    ):
        assert first.next_event() is not None
        with open_stream(server.url + META, {"message": "hi", "model": "echo"}) as second:
            assert json.loads(second.next_event().data)["event"] == "start"
            assert not second.has_bytes()
            gates.release.set()
            assert words([json.loads(event.data) for event in second]) == "hi "


def test_tokens_leave_before_the_workflow_has_finished(shapes: str) -> None:
    with open_stream(shapes + PLAIN, {"message": "hi", "model": "gated"}) as stream:
        assert json.loads(stream.next_event().data)["token"] == "first"
        assert not gates.release.is_set()
        gates.release.set()
        assert [json.loads(event.data)["done"] for event in stream] == [False, True]


@pytest.mark.parametrize("how", ["POST", "GET"])
@pytest.mark.parametrize("path", [PLAIN, META])
@pytest.mark.parametrize("model", ["gated", "silent"])
def test_a_client_that_leaves_ends_its_run(shapes: str, model: str, path: str, how: str) -> None:
    body = {"message": "hi", "model": model}
    url = shapes + path
    if how == "GET":
        url += f"?message=hi&model={model}"
    with open_stream(url, body if how == "POST" else None, wait_head=False):
        assert gates.entered.wait(10)
    gates.release.set()
    assert gates.cleaned.wait(10)


def test_heartbeats_fill_the_silence() -> None:
    with (
        serve(create_app(Shapes, settings(heartbeat=0.05))) as server,
        httpx.stream(
            "POST", server.url + META, json={"message": "hi", "model": "silent"}, timeout=30
        ) as answer,
    ):
        pieces = answer.iter_raw()
        assert next(pieces).startswith(b'data: {"event": "start"')
        assert next(pieces) == b": ping\n"
        assert next(pieces) == b": ping\n"


def test_keys_guard_these_paths_too() -> None:
    with serve(create_app(Flows, settings(api_keys="me=secret"))) as server:
        for path in (PLAIN, META):
            url = server.url + path
            assert httpx.post(url, json={"message": "hi"}).status_code == 401
            assert httpx.get(url, params={"message": "hi"}).status_code == 401
            key = {"authorization": "Bearer secret"}
            assert httpx.post(url, json={"message": "hi"}, headers=key).status_code == 200
            assert httpx.get(url, params={"message": "hi"}, headers=key).status_code == 200


# GET, for a browser's EventSource


def test_get_is_the_same_with_ids(client: httpx.Client) -> None:
    answer = client.get(PLAIN, params={"message": "hello world", "unknown": "x"})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.text == (
        'id: 1\ndata: {"token": "hello ", "done": false}\n\n'
        'id: 2\ndata: {"token": "world ", "done": false}\n\n'
        'id: 3\ndata: {"token": "", "done": true}\n\n'
    )
    frames = client.get(META, params={"message": "hi", "model": "ticket"}).text.split("\n\n")[:-1]
    assert [frame.split("\n")[0] for frame in frames] == ["id: 1", "id: 2", "id: 3"]
    assert frames[0].endswith('{"event": "start", "model": "ticket"}')


def test_get_takes_what_post_takes(shapes: str) -> None:
    query = {"message": "a & b=c, ü", "system_prompt": "Be brief.", "model": "prompt"}
    said = words(events_of(httpx.get(shapes + PLAIN, params=query).text))
    assert json.loads(said) == [["system", "Be brief."], ["user", "a & b=c, ü"]]
    assert httpx.get(shapes + PLAIN).json()["error"]["param"] == "message"
    assert httpx.get(shapes + PLAIN, params={"message": "", "model": "echo"}).status_code == 200
    assert httpx.get(shapes + META, params={"message": "", "model": "no"}).status_code == 404


def test_failures_have_ids_so_that_they_are_not_tried_again(client: httpx.Client) -> None:
    for path in (PLAIN, META):
        text = client.get(path, params={"message": "hi", "model": "broken"}).text
        assert all(frame.startswith("id: ") for frame in text.split("\n\n")[:-1])
        assert "BrokenNode" in text


def test_a_reconnect_is_told_to_stop_and_runs_nothing(client: httpx.Client) -> None:
    for path in (PLAIN, META):
        query = {"message": "hi", "model": "silent"}
        answer = client.get(path, params=query, headers={"last-event-id": "2"})
        assert answer.status_code == 204
        assert answer.content == b""
        assert not gates.entered.is_set()


@pytest.mark.parametrize("drops", [None, 1, 3])
def test_an_event_source_pays_once(shapes: str, drops: int | None) -> None:
    """As browsers do it: read, and when the stream ends or breaks, connect again with its id."""
    seen: list[str] = []
    statuses: list[int] = []
    last_id = ""
    url = f"{shapes}{META}?message=one+two&model=echo"
    while statuses[-1:] != [204]:
        headers = {"last-event-id": last_id} if last_id else {}
        with open_stream(url, headers=headers) as stream:
            statuses.append(stream.status)
            for event in stream:
                seen.append(json.loads(event.data)["event"])
                last_id = event.id or last_id
                if len(seen) == drops:
                    break
    assert statuses == [200, 204]
    assert seen == ["start", "token", "token", "done"][:drops]


def test_another_site_s_page_cannot_start_runs_by_a_link(server: Server) -> None:
    def get(**headers: str) -> int:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(server.url + PLAIN, params={"message": "hi"}, headers=names).status_code

    # An image, a script, a link: no Origin, which would have been the gate's to judge.
    assert get(sec_fetch_site="cross-site") == 403
    assert get(sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 403
    assert get(sec_fetch_site="cross-site", last_event_id="1") == 403
    assert get(sec_fetch_site="cross-site", origin="https://evil.example") == 403
    for fine in ("none", "same-origin", "same-site"):
        assert get(sec_fetch_site=fine) == 200
    # localhost and 127.0.0.1 are two sites to a browser; the gate lets both in.
    assert get(sec_fetch_site="cross-site", origin="http://localhost:3000") == 200


def test_an_origin_that_is_named_may_use_event_source() -> None:
    named = settings(cors_origins="https://app.example")
    headers = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    with serve(create_app(Flows, named)) as server:
        answer = httpx.get(server.url + PLAIN, params={"message": "hi"}, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_two_clients_at_once_do_not_wait_for_each_other(shapes: str) -> None:
    with open_stream(shapes + PLAIN, {"message": "hi", "model": "gated"}) as waits:
        assert waits.next_event() is not None
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(words(ask(shapes + PLAIN, "quick"))))
        thread.start()
        thread.join(10)
        assert said == ["quick "]
        gates.release.set()
        assert waits.read_all()
