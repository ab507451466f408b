"""`x-request-id`, OpenAI's header: every answer has one."""

from __future__ import annotations

from launchpad.core.task import new_run_id

REQUEST_ID_HEADER = "x-request-id"
"""Holds the run's id, by which the log and the traces know it; where no run begins, a fresh one."""


def request_id() -> dict[str, str]:
    """The header of an answer without a run."""
    return {REQUEST_ID_HEADER: new_run_id()}
