"""docs/GUIDE.md: its blocks run as they are printed, and their workflows do what it says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from launchpad.core.workflow import Workflow
from launchpad.testing import ScriptedModel, Server, override_model, serve
from launchpad.workflows.catalog import Catalog

GUIDE = Path(__file__).parents[2] / "docs" / "GUIDE.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
IMPORTS, *PROGRAMS = BLOCKS


def workflows_of(module: ModuleType) -> dict[str, type[Workflow]]:
    found = [value for value in vars(module).values() if isinstance(value, type)]
    mine = [one for one in found if issubclass(one, Workflow) and one.__module__ == module.__name__]
    return {one.id: one.workflow for one in Catalog(mine).served}


def program(modules: list[ModuleType], name: str) -> ModuleType:
    """The block that defines `name`."""
    (found,) = [module for module in modules if hasattr(module, name)]
    return found


@pytest.fixture(scope="module")
def modules() -> Iterator[list[ModuleType]]:
    made: list[ModuleType] = []
    for number, program in enumerate(PROGRAMS):
        module = ModuleType(f"guide_{number}")
        sys.modules[module.__name__] = module  # annotations are resolved by it
        exec(compile(f"{IMPORTS}\n\n{program}", f"GUIDE.md, block {number}", "exec"), vars(module))
        made.append(module)
    yield made
    for module in made:
        del sys.modules[module.__name__]


@pytest.fixture(scope="module")
def server(modules: list[ModuleType]) -> Iterator[Server]:
    """All the guide's workflows, on a model that says the user's words back."""
    registry: dict[str, type[Workflow]] = {}
    for module in modules:
        found = workflows_of(module)
        assert not registry.keys() & found.keys()
        registry.update(found)
    assert registry.keys() == {model for model, *_ in ANSWERS} | {"stock"}
    with override_model(ScriptedModel()), serve(registry) as running:
        yield running


def ask(url: str, model: str, said: str, **rest: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": said}], **rest}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)


def streamed(text: str) -> str:
    assert text.endswith("data: [DONE]\n\n"), text
    lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    return "".join(
        json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1]
    )


ANSWERS: list[tuple[str, str, dict[str, Any], str]] = [
    ("greet", "Hi", {}, "Hi"),
    ("letter", "Hi", {}, "Improve this answer to “Hi”: Hi"),
    ("loud", "Hi", {}, "HI"),
    ("recipe", '!say {"title": "Tea", "steps": []}', {}, '{"title": "Tea", "steps": []}'),
    ("words", "one two", {}, "2 words\n\nGoodbye"),
    ("choose", "Hi", {}, "Hi"),
    ("weigh", "Hi", {}, "Hi\n\nHi"),
    ("shop", '!call opening_hours {"day": "Sunday"}', {}, "opening_hours says: closed"),
    ("guide", "!call weather", {"metadata": {"city": "Rome"}}, "weather says: rain in Rome"),
    ("chat", "Hi", {}, "Hi"),
    ("translate", "Hi", {"language": "fr"}, "fr: Hi"),
    ("file", "Hi", {"user": "Ann"}, "Filed for Ann: Hi"),
    ("guard", "my password", {}, "I don't talk about passwords."),
    ("guard", "Hi", {}, "Hi"),
    ("check", "Hi", {}, "All is well."),
    ("answer", "Hi", {}, "Hi"),
]


@pytest.mark.parametrize(("model", "said", "rest", "answer"), ANSWERS)
def test_workflows(
    server: Server, model: str, said: str, rest: dict[str, Any], answer: str
) -> None:
    whole = ask(server.url, model, said, **rest)
    assert whole.json()["choices"][0]["message"]["content"] == answer
    assert streamed(ask(server.url, model, said, stream=True, **rest).text) == answer


def test_changed_text_is_the_output(modules: list[ModuleType]) -> None:
    module = program(modules, "LoudWorkflow")
    with override_model(ScriptedModel("Good day!")):
        context = module.LoudWorkflow().run({"messages": [{"role": "user", "content": "Hi"}]})
    assert context.get_output(module.Loud) == "GOOD DAY!"


def test_the_router_chooses(server: Server) -> None:
    for said, node in [("Hi", "Short"), ("Why?", "Thorough")]:
        assert ask(server.url, "choose", said).json()["launchpad"]["nodes"] == [node]


def test_errors(server: Server) -> None:
    def failing(model: str, said: str, **rest: Any) -> tuple[int, str, str | None, str | None]:
        answer = ask(server.url, model, said, **rest)
        error = answer.json()["error"]
        return answer.status_code, error["message"], error["param"], error["code"]

    assert failing("check", "") == (400, "Say something.", "messages", "empty_message")
    assert failing("check", "more") == (402, "Your quota is used up.", None, "quota_used_up")
    assert failing("check", "bug") == (500, "The node Check failed.", None, "node_failed")
    assert failing("check", "order 8")[:2] == (404, "There is no order 8.")
    status, message, *_ = failing("check", "search")
    assert (status, message) == (503, "Check: The search is down.")
    assert ask(server.url, "check", "search").headers["retry-after"] == "5"
    assert failing("translate", "Hi", language="xx")[::2] == (400, "language")


def test_every_chunk_is_an_object(server: Server) -> None:
    options = {"stream": True, "stream_options": {"valid_json_chunks": True}}
    text = ask(server.url, "recipe", '!say {"title": "Tea", "steps": []}', **options).text
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    objects = [json.loads(chunk["choices"][0]["delta"]["content"]) for chunk in chunks]
    assert objects[-1] == {"title": "Tea", "steps": []}


def test_a_run_without_a_chat_request(modules: list[ModuleType]) -> None:
    module = program(modules, "FileWorkflow")
    context = module.FileWorkflow().run({"text": "Hi", "customer": "Ann"})
    assert context.get_output(module.File) == "Filed for Ann: Hi"


def test_an_app_of_one_s_own(modules: list[ModuleType]) -> None:
    module = program(modules, "app")
    with serve(module.app) as server:
        answer = ask(f"{server.url}/ai", "stock", "tea").json()
        assert answer["choices"][0]["message"]["content"] == "7 in stock"
        assert httpx.get(f"{server.url}/stock").json() == {"tea": 7}
    assert not module.stock


def test_its_tests_pass(modules: list[ModuleType]) -> None:
    module = program(modules, "test_streamed")
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 4
    for test in tests:
        test()
