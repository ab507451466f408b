"""What `launchpad serve TARGET` finds, and what it says where it finds nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from launchpad.errors import ConfigurationError
from launchpad.workflows.discover import load_registry

WORKFLOW = """
from enum import Enum
from launchpad.core.nodes.base import Node
from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

class Step(Node):
    async def process(self, task_context): return task_context

class Base(Workflow):
    pass

class GreetTwiceWorkflow(Base):
    workflow_schema = WorkflowSchema(
        event_schema=OpenAIChatSchema, start=Step, nodes=[NodeConfig(node=Step)])
"""
REGISTRY = """
class Registry(Enum):
    HELLO = GreetTwiceWorkflow
"""


@pytest.fixture(autouse=True)
def clean_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a folder of its own as working directory, and leaves no module behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text), encoding="utf-8")
    return file


def ids(target: str | None) -> list[str]:
    return list(load_registry(target))


def test_without_target_the_shipped_workflows() -> None:
    assert {"streaming", "chat", "routing", "concurrent"} <= set(ids(None))


@pytest.mark.parametrize("target", ["flows.py", "./flows.py", "flows", "flows:Registry"])
def test_a_registry_names_the_models(target: str) -> None:
    write("flows.py", WORKFLOW + REGISTRY)
    assert ids(target) == ["hello"]


def test_without_registry_the_classes_that_are_defined_there() -> None:
    write("others.py", WORKFLOW.replace("GreetTwice", "Imported"))
    write("flows.py", "from others import ImportedWorkflow\n" + WORKFLOW)
    assert ids("flows.py") == ["greet_twice"]


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("GreetTwiceWorkflow", "greet_twice"),
        ("Registry", "hello"),
        ("Registry.HELLO", "greet_twice"),
        ("BY_NAME", "greeter"),
        ("AS_LIST", "greet_twice"),
    ],
)
def test_an_attribute_of_any_kind(attribute: str, expected: str) -> None:
    more = 'BY_NAME = {"greeter": GreetTwiceWorkflow}\nAS_LIST = [GreetTwiceWorkflow]\n'
    write("flows.py", WORKFLOW + REGISTRY + more)
    assert ids(f"flows.py:{attribute}") == [expected]
    assert ids(f"flows:{attribute}") == [expected]


def test_a_file_of_a_package_may_import_relatively() -> None:
    write("shop/__init__.py", "")
    write("shop/flows.py", WORKFLOW)
    write("shop/registry.py", "from enum import Enum\nfrom .flows import *" + REGISTRY)
    assert ids("shop/registry.py") == ["hello"]
    assert ids("shop.registry") == ["hello"]


def test_a_packages_own_workflows_count_as_defined_in_it() -> None:
    write("shop/flows.py", WORKFLOW)
    write("shop/__init__.py", "from .flows import GreetTwiceWorkflow")
    assert ids("shop") == ["greet_twice"]


def test_a_registry_that_is_only_imported_is_found_too() -> None:
    write("flows.py", WORKFLOW + REGISTRY)
    write("main.py", "from flows import Registry")
    assert ids("main.py") == ["hello"]


def test_a_file_called_like_a_library_and_its_neighbours() -> None:
    write("neighbour.py", WORKFLOW)
    write("json.py", "from neighbour import *" + REGISTRY)
    assert ids("json.py") == ["hello"]
    import json

    assert json.loads("1") == 1


def test_a_file_elsewhere_imports_its_neighbours() -> None:
    write("deep/down/neighbour.py", WORKFLOW)
    write("deep/down/flows.py", "from neighbour import *" + REGISTRY)
    assert ids("deep/down/flows.py") == ["hello"]


def test_it_is_imported_once() -> None:
    write("flows.py", WORKFLOW)
    assert load_registry("flows.py") == load_registry("flows.py")


BAD: list[tuple[str, str, list[str]]] = [
    ("nothing.py", "", ["There is no file nothing.py"]),
    ("no.such", "", ["There is no module 'no'"]),
    ("flow", "", ["There is no module 'flow'", "Did you mean flows.py?"]),
    ("1-2", "", ["neither a module nor a file"]),
    (".", "", ["neither a module nor a file"]),
    ("./", "", ["is a directory"]),
    ("flows.py", "x = 1", ["no workflow registry", "Define a class"]),
    ("flows.py", "from launchpad.workflows.examples.chat.workflow import ChatWorkflow",
     ["It imports ChatWorkflow", "flows.py:ChatWorkflow"]),
    ("flows.py", "\nimport nowhere_to_be_found", ["flows.py, line 2", "nowhere_to_be_found"]),
    ("flows.py", "\n\n1 / 0", ["flows.py, line 3", "ZeroDivisionError", "1 / 0"]),
    ("flows.py", "def broken(:", ["flows.py, line 1", "invalid syntax"]),
    ("flows", "raise SystemExit(3)", ["ends the program", "__main__"]),
    ("flows.py:Missing", WORKFLOW + REGISTRY, ["has no 'Missing'", "GreetTwiceWorkflow, Registry"]),
    ("flows.py:Registri", WORKFLOW + REGISTRY, ["Did you mean Registry?"]),
    ("flows:Registry.HELO", WORKFLOW + REGISTRY, ["no 'Registry.HELO'", "Did you mean HELLO?"]),
    ("flows.py", WORKFLOW + REGISTRY + "    OTHER = 5\n", ["Registry.OTHER is of type int"]),
    ("flows:Registry", WORKFLOW + REGISTRY + "    BASE = Base\n",
     ["Registry.BASE is Base, which has no workflow_schema"]),
    ("flows.py:Step", WORKFLOW, ["is the class Step", "Name a Workflow class"]),
    ("flows.py:X", "X = 3", ["is of type int"]),
    ("flows.py", WORKFLOW + "class GreetTwice(GreetTwiceWorkflow): pass\n",
     ["GreetTwiceWorkflow and flows.GreetTwice", "'greet_twice'"]),
    ("flows.py", WORKFLOW + "class Registry(Enum):\n    DEFAULT = GreetTwiceWorkflow\n",
     ["named 'default'"]),
    ("flows.py", WORKFLOW.replace("start=Step", "start=None"), ["flows.py, line 1", "start"]),
]  # fmt: skip


@pytest.mark.parametrize(("target", "text", "words"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_said(target: str, text: str, words: list[str]) -> None:
    write("flows.py", text)
    with pytest.raises(ConfigurationError) as caught:
        load_registry(target)
    for word in words:
        assert word in str(caught.value)
