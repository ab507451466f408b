"""`GET /chat/stream` and `/chat/stream-meta`, for a browser's `EventSource`."""

from __future__ import annotations

import json

import httpx
import pytest

from launchpad.api.app import create_app
from launchpad.testing.server import Server, serve
from launchpad.testing.sse import open_stream

from .chat_stream_flows import META, PLAIN, events_of, words
from .conftest import Flows, gates, settings


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
