"""A real browser's `EventSource` and `fetch`, headless Chromium; `browser.html` is what it runs."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from launchpad.testing import ScriptedUpstream
from launchpad.testing.server import Server

from .conftest import on_upstream, was_left
from .programs import Told, absent

PAGE = Path(__file__).with_name("browser.html")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
)
PATIENCE = 90.0


class Reports:
    """The page, and where it reports to."""

    def __init__(self) -> None:
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.routes = [
            Route("/page", self._page),
            Route("/report", self._report, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    async def _report(self, request: Request) -> Response:
        self._told.put(await request.json())
        return Response(status_code=204)

    def wait(self) -> dict[str, Any]:
        return self._told.get(timeout=PATIENCE)


@pytest.fixture(scope="module")
def told(
    server: Server, upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Told]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        absent("chromium is not installed")
    reports = Reports()
    with (
        on_upstream(upstream, pages=reports.routes) as home,
        on_upstream(upstream, cors_origins=(home.url,)) as named,
    ):
        others = urlencode({"named": named.url, "closed": server.url})
        profile = tmp_path_factory.mktemp("chromium")
        browser = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={profile}", f"{home.url}/page?{others}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Told(reports.wait())
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait(30)


def test_event_source_gets_the_tokens(told: Told) -> None:
    *tokens, last = told["tokens"]
    assert "".join(event["token"] for event in tokens) == "one two three"
    assert {event["done"] for event in tokens} == {False}
    assert (last["token"], last["done"]) == ("", True)
    # Each frame has an id, which a reconnecting browser sends back.
    assert all(event["id"] for event in [*tokens, last])


def test_event_source_gets_meta_events(told: Told) -> None:
    start, *tokens, done = told["meta"]
    assert (start["event"], start["model"]) == ("start", "chat")
    assert {event["event"] for event in tokens} == {"token"}
    assert "".join(event["token"] for event in tokens) == "one two three"
    assert done["event"] == "done"
    assert done["tokens"] > 0
    assert done["latency_ms"] >= 0


def test_event_source_gets_failures_as_events(told: Told) -> None:
    [failure] = told["failure"]
    assert failure["done"] is True
    assert failure["error"]
    start, failure = told["failureWithMeta"]
    assert start["event"] == "start"
    assert failure["event"] == "error"
    assert failure["message"]


def test_event_source_gets_tokens_while_the_model_is_at_work(
    told: Told, upstream: ScriptedUpstream
) -> None:
    assert told["early"][0]["token"].startswith("hello")
    # It closed its source then, and the run ended with it.
    assert was_left(upstream, "hello my friend")


def test_the_browser_s_reconnecting_runs_nothing_again(
    told: Told, upstream: ScriptedUpstream
) -> None:
    alone = told["leftAlone"]
    assert alone["tokens"] == "left alone"
    assert alone["states"] == [0, 2]  # it connected anew, and was told to stop (204)
    asked = [request.body["messages"][-1]["content"] for request in upstream.requests]
    assert asked.count("left alone") == 1


def test_fetch_streams_chat_completions(told: Told) -> None:
    assert told["fetched"] == "one two three"


def test_named_origins_may_call(told: Told) -> None:
    assert told["fetchedFromNamed"] == "one two three"
    assert "".join(event["token"] for event in told["eventsFromNamed"]) == "far away"


def test_other_origins_may_not(told: Told) -> None:
    assert told["fetchedFromClosed"] == "TypeError"
    assert "failed after 0 events" in told["eventsFromClosed"]
