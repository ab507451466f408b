"""Clients belong to a loop and are closed with it: seen in a process of its own, with warnings."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import Any, cast
from weakref import ref

import pytest
from pydantic_ai.models import Model, ModelRequestParameters
from tests.models.upstream import DONE, STOP, Call, Upstream, text, upstream

from launchpad.models import AgentConfig, ModelProvider, build_model
from launchpad.models.loops import Memo, aclose_clients, loop_scope

SCRIPT = """
import asyncio, gc, sys
from tests.models.upstream import DONE, STOP, text, upstream
from launchpad.models import aclose_clients, build_model, AgentConfig, ModelProvider

async def script(call):
    await call.stream(*text("a"), STOP, DONE)

async def main():
    async with upstream(script) as server:
        for provider in ("openai", "openai-responses", "anthropic", "openai-compatible"):
            build_model(AgentConfig(model_provider=ModelProvider(provider), model_name="x",
                                    api_key="k", base_url=server.url))
        async with server.agent().run_stream("Hi") as result:
            print(await result.get_output())
        if "close" in sys.argv:
            await aclose_clients()

for _ in range(2):
    asyncio.run(main())
if "uvloop" in sys.argv:
    import uvloop
    uvloop.run(main())
gc.collect()
"""


@pytest.mark.parametrize("how", [[], ["close"], ["uvloop"]])
def test_two_loops_in_one_process_leave_nothing_open(how: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, *how],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    errors = [line for line in done.stderr.splitlines() if "Warning" in line or "Error" in line]
    assert (done.returncode, errors) == (0, [])
    assert done.stdout.split() == ["a"] * (3 if how == ["uvloop"] else 2)


def test_closers_run_backwards_and_one_that_fails_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[int] = []

    async def main() -> None:
        scope = loop_scope()
        assert loop_scope() is scope

        async def close(number: int) -> None:
            closed.append(number)
            if number == 2:
                raise OSError("no")

        for number in (1, 2, 3):
            scope.at_close(lambda number=number: close(number))  # type: ignore[misc]
        await aclose_clients()
        assert loop_scope() is not scope

    asyncio.run(main())
    assert closed == [3, 2, 1]
    assert "did not close" in caplog.text


def test_a_memo_forgets_the_oldest() -> None:
    memo: Memo[object] = Memo(size=2)
    first = memo.get("a", object)
    assert memo.get("a", object) is first
    memo.get("b", object)
    memo.get("c", object)
    assert memo.get("a", object) is not first
    listed = memo.get(["x"], object)
    assert memo.get(["x"], object) is listed
    memo.get(["y"], object)
    memo.get(["z"], object)
    assert memo.get(["x"], object) is not listed


def test_models_that_nobody_asks_any_more_are_let_go_and_all_others_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def models(count: int) -> list[Model]:
        return [
            build_model(
                AgentConfig(
                    model_provider=ModelProvider.ANTHROPIC, model_name="x", api_key=f"k{number}"
                )
            )
            for number in range(count)
        ]

    async def main() -> None:
        monkeypatch.setattr(loop_scope().memo("models"), "_size", 3)
        first, *others = [ref(model) for model in models(4)]
        gc.collect()
        assert first() is None
        held = [model() for model in others]
        clients = [cast("Any", model).wrapped.client for model in held]
        assert not any(client.is_closed() for client in clients)
        del held
        await aclose_clients()
        assert all(client.is_closed() for client in clients)

    asyncio.run(main())


def test_models_that_the_memo_forgets_are_held_by_nothing_else() -> None:
    async def build() -> int:
        names = [f"key-{number}" for number in range(260)]
        built = [
            ref(
                build_model(
                    AgentConfig(model_provider=ModelProvider.OPENAI, model_name="x", api_key=key)
                )
            )
            for key in names
        ]
        gc.collect()
        return sum(one() is not None for one in built)

    assert asyncio.run(build()) <= 256


class Thing:
    pass


def test_what_is_gone_is_closed_soon_and_what_is_held_at_the_end() -> None:
    async def main() -> None:
        closings: asyncio.Queue[str] = asyncio.Queue()

        async def close(name: str) -> None:
            await asyncio.sleep(0)
            await closings.put(name)

        scope = loop_scope()
        things = {name: Thing() for name in ("kept", "gone", "gone in a thread")}
        for name, thing in things.items():
            scope.at_end_of(thing, lambda name=name: close(name))  # type: ignore[misc]
        scope.kept["thing"] = things.pop("kept")
        del thing, things["gone"]
        async with asyncio.timeout(10):
            assert await closings.get() == "gone"
            await asyncio.to_thread(things.clear)
            assert await closings.get() == "gone in a thread"
        await aclose_clients()
        assert [closings.get_nowait() for _ in range(closings.qsize())] == ["kept"]

    asyncio.run(main())


def test_what_goes_as_the_loop_ends_is_closed_once() -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("begun")
        await asyncio.sleep(0.01)
        closed.append("done")

    async def main() -> None:
        thing = Thing()
        loop_scope().at_end_of(thing, close)
        del thing
        await asyncio.sleep(0)

    asyncio.run(main())
    # The end of the loop cancels what is under way, and then closes it after all.
    assert closed in (["begun", "done"], ["begun", "begun", "done"])


def test_a_loop_goes_with_what_it_had_to_close() -> None:
    async def close() -> None:
        pass

    async def main() -> ref[asyncio.AbstractEventLoop]:
        loop_scope().at_end_of(Thing, close)
        return ref(asyncio.get_running_loop())

    gone = asyncio.run(main())
    gc.collect()
    assert gone() is None


def test_a_model_that_the_memo_forgets_is_closed_once_its_requests_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")

    async def main() -> None:
        forgotten = asyncio.Event()

        async def script(call: Call) -> None:
            await call.start()
            await call.send(b"".join(text("a")))
            await forgotten.wait()
            await call.send(b"".join([*text("b"), STOP, DONE]))
            await call.end()

        def build(server: Upstream, key: str) -> Any:
            provider = ModelProvider.AZURE_OPENAI
            return build_model(
                AgentConfig(
                    model_provider=provider, model_name="x", base_url=server.url, api_key=key
                )
            )

        async with asyncio.timeout(20), upstream(script) as server:
            monkeypatch.setattr(loop_scope().memo("models"), "_size", 1)
            model = build(server, "first")
            client, asked = model.wrapped.client, ModelRequestParameters()
            async with model.request_stream([], None, asked) as response:
                del model
                build(server, "second")
                for _ in range(10):
                    gc.collect()
                    await asyncio.sleep(0)
                assert not client.is_closed()
                forgotten.set()
                async for _ in response:
                    pass
                assert response.get().text == "ab"
            del response
            while not client.is_closed():
                gc.collect()
                await asyncio.sleep(0.01)
        await aclose_clients()

    asyncio.run(main())
