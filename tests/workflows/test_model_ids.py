"""What a registry may be, and which model ids its workflows get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from enum import Enum
from typing import Any

import pytest

from launchpad.api.app import create_app
from launchpad.api.router import create_router
from launchpad.core.nodes.base import Node
from launchpad.core.schema import WorkflowSchema
from launchpad.core.task import TaskContext
from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError
from launchpad.testing import serve
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.catalog import Catalog
from launchpad.workflows.model_ids import model_id


class Words(Node):
    async def process(self, task_context: TaskContext) -> AsyncIterator[str]:
        yield "words"


def named(name: str, module: str = __name__) -> type[Workflow]:
    schema = WorkflowSchema(event_schema=OpenAIChatSchema, start=Words)
    return type(name, (Workflow,), {"workflow_schema": schema, "__module__": module})


AnswerWorkflow = named("AnswerWorkflow")
Twin = named("AnswerWorkflow", "shop.twins")


class Alike(Enum):
    ANSWER = AnswerWorkflow
    Answer = Twin


class Numbers(Enum):
    ONE = 1


def served(registry: Any) -> list[str]:
    return [one.id for one in Catalog(registry).served]


@pytest.mark.parametrize("registry", [[AnswerWorkflow, Twin], (AnswerWorkflow, Twin), Alike])
@pytest.mark.parametrize("way", [create_app, create_router, serve])
def test_two_workflows_of_one_id_are_refused(way: Callable[[Any], object], registry: Any) -> None:
    with pytest.raises(ConfigurationError) as told:
        way(registry)
    assert f"{__name__}.AnswerWorkflow and shop.twins.AnswerWorkflow would both be" in str(
        told.value
    )
    assert "the model 'answer'. Rename one" in str(told.value)


def test_every_kind_of_registry() -> None:
    class Registry(Enum):
        FIRST = AnswerWorkflow
        SECOND = Twin
        THIRD = AnswerWorkflow  # noqa: PIE796 - a workflow may have two ids

    assert served(Registry) == ["first", "second", "third"]
    assert served({"First one": AnswerWorkflow, "b": Twin}) == ["First one", "b"]
    for kind in (list, tuple, set, iter):
        assert served(kind([AnswerWorkflow])) == ["answer"]
    assert served([AnswerWorkflow, AnswerWorkflow]) == ["answer"]
    assert served([]) == []


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        (AnswerWorkflow, "this is one class: write [AnswerWorkflow]"),
        (AnswerWorkflow(), "this is an instance of AnswerWorkflow"),
        ("flows", "this is 'flows'"),
        (7, "this is 7"),
        (int, "this is the class int"),
        (Alike.ANSWER, "this is <Alike.ANSWER"),
        ({1: AnswerWorkflow}, "this mapping has the key 1, which is no str"),
        ([AnswerWorkflow()], "item 1 is an instance of AnswerWorkflow, not a Workflow class"),
        ([AnswerWorkflow, "x"], "item 2 is 'x', not a Workflow class"),
        ([Words], "words is the class Words, not a Workflow class"),
        ({"a": AnswerWorkflow()}, "a is an instance of AnswerWorkflow"),
        (Numbers, "one is 1, not a Workflow class"),
    ],
)
@pytest.mark.parametrize("way", [create_app, create_router, serve])
def test_what_is_no_registry_is_told_what_is(
    way: Callable[[Any], object], registry: Any, said: str
) -> None:
    with pytest.raises(ConfigurationError) as told:
        way(registry)
    assert said in str(told.value)
    assert "an Enum of Workflow classes, as a mapping from model ids to them, or as a list" in str(
        told.value
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AnswerWorkflow", "answer"),
        ("StructuredStreamingWorkflow", "structured_streaming"),
        ("Greet", "greet"),
        ("Workflow", "workflow"),
        ("PlanAThenB", "plan_a_then_b"),
        ("V2Workflow", "v2"),
        ("Step2BWorkflow", "step2_b"),
        ("AufÜbung", "auf_übung"),
        ("_Private", "private"),
        ("lower", "lower"),
        ("RAGWorkflow", "rag"),
        ("SQLAgentV2Workflow", "sql_agent_v2"),
        ("LLMRouterWorkflow", "llm_router"),
        ("GPT4oWorkflow", "gpt4o"),
        ("OpenAIWorkflow", "open_ai"),
        ("AskSQL", "ask_sql"),
        ("HTML5ToPDF", "html5_to_pdf"),
    ],
)
def test_capitals_in_a_row_are_one_word(name: str, expected: str) -> None:
    assert model_id(named(name)) == expected


def test_ids_that_become_equal_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"RAGWorkflow and .*RagWorkflow .* 'rag'"):
        Catalog([named("RAGWorkflow"), named("RagWorkflow")])
