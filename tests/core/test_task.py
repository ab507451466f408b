"""What one run knows, and how its nodes hand results on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from launchpad.core.nodes.base import Node
from launchpad.core.task import TaskContext, new_run_id
from launchpad.errors import DefinitionError, OutputError


class A(Node):
    async def process(self, task_context: TaskContext) -> Any: ...


def test_an_output_is_kept_grows_and_may_be_missing() -> None:
    context = TaskContext(event=None)
    assert not context.knows(A)
    assert context.get_output(A) is None
    assert context.get_output(A, "default") == "default"
    context.update_node("A", first=1)
    context.update_node("A", second=2)
    assert context.get_output(A) == {"first": 1, "second": 2}
    context.save_output(A, "text")
    context.update_node("A", first=1)
    assert context.get_output(A) == {"first": 1}
    context.save_output(A, None)
    assert context.knows(A)
    assert context.get_output(A, "default") is None


def test_a_lost_output_is_an_error_for_who_asks() -> None:
    context = TaskContext(event=None)
    context.lose_output(A, "it was cut.")
    assert context.knows(A)
    with pytest.raises(OutputError, match=r"A: it was cut\."):
        context.get_output(A)


@pytest.mark.parametrize(("given", "named"), [("A", "A"), (A(), "A")])
def test_an_output_is_asked_for_by_its_class(given: Any, named: str) -> None:
    with pytest.raises(DefinitionError, match=rf"write get_output\({named}\)"):
        TaskContext(event=None).get_output(given)


def test_run_ids_are_long_and_never_the_same() -> None:
    made = {new_run_id() for _ in range(600)}
    assert len(made) == 600
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)
