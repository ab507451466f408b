"""`launchpad run`: one workflow, in the terminal."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from launchpad.api.router import create_catalog
from launchpad.cli.environment import export
from launchpad.cli.readiness import look_at
from launchpad.errors import ConfigurationError, LaunchpadError, RequestError
from launchpad.events import JsonDelta, RunEvent, RunFailed, TextDelta
from launchpad.models import aclose_clients
from launchpad.observe.logs import configure_logging
from launchpad.settings import Settings, warn_of_unknown_variables
from launchpad.stream.run_stream import EventStream
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.catalog import Catalog, ServedWorkflow
from launchpad.workflows.discover import load_registry

__all__ = ["run"]


def run(
    workflow: str, message: str, target: str | None, settings: Settings, *, as_json: bool
) -> int:
    """Run `workflow` with `message` and print what it says. Returns the exit code."""
    export(settings, target)
    configure_logging("warning")
    warn_of_unknown_variables()
    # The settings may be a server's, of other workflows.
    catalog = create_catalog(load_registry(target), settings, complete=False)
    _refuse_left_out(catalog, workflow)
    served = catalog.find(workflow)
    problem = look_at([served], settings).default_problem
    if problem is not None:
        raise ConfigurationError(problem)
    try:
        return asyncio.run(_run(served, message, as_json=as_json))
    except KeyboardInterrupt:
        return 130


def _refuse_left_out(catalog: Catalog, workflow: str) -> None:
    for one in catalog.left_out:
        if one.id == workflow:
            name = one.workflow.__name__
            raise ConfigurationError(
                f"{workflow} takes no message: {one.obstacle}. In Python, use run(…) of {name}."
            )


async def _run(served: ServedWorkflow, message: str, *, as_json: bool) -> int:
    request, event = _asked(served, message)
    produce = served.workflow().producer(event, request=request)
    stream = EventStream(produce, name=served.id)
    say = _print_json if as_json else _Speaker()
    code = 0
    try:
        async for event in stream:
            say(event)
            if isinstance(event, RunFailed):
                code = 1
                print(f"launchpad: {event.message}", file=sys.stderr)
    finally:
        await stream.aclose()
        await aclose_clients()
    return code


def _asked(served: ServedWorkflow, message: str) -> tuple[OpenAIChatSchema, Any]:
    """What the user says as a chat request, and as the workflow's event.

    Raises `RequestError` where it makes none.
    """
    schema = served.chat_schema
    try:
        request = schema.model_validate(
            {"model": served.id, "stream": True, "messages": [{"role": "user", "content": message}]}
        )
    except ValidationError as error:
        raise RequestError(
            f"A message alone makes no {schema.__name__} of {served.id}: {_problems(error)}"
        ) from error
    try:
        return request, served.event(request)
    except LaunchpadError:
        raise
    except Exception as error:  # whatever the user's code raises
        cause = (
            _problems(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        )
        name = served.workflow.workflow_schema.event_schema.__name__
        raise RequestError(
            f"{name}.from_chat made nothing of the message: {type(error).__name__}: {cause}"
        ) from error


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found) + "."


class _Speaker:
    """Prints words as they come; each further node's begin after an empty line."""

    def __init__(self) -> None:
        self._node: str | None = None

    def __call__(self, event: RunEvent) -> None:
        if isinstance(event, TextDelta | JsonDelta):
            if self._node not in {None, event.node}:
                print("\n")
            self._node = event.node
            print(event.text, end="", flush=True)
        elif type(event).__name__.startswith("Run") and self._node is not None:
            print(flush=True)


def _print_json(event: RunEvent) -> None:
    print(msgspec.json.encode(event, enc_hook=_plain).decode(), flush=True)


def _plain(value: object) -> object:
    """What JSON makes of a request: a pydantic model."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else repr(value)
