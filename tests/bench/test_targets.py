"""The targets' table: what is measured is judged, what is not is left out."""

from __future__ import annotations

from bench.targets import AGENT_CPU, markdown


def test_a_target_is_met_or_not() -> None:
    found = {"bare": {"tokens_per_s": 100.0}, "launchpad": {"tokens_per_s": 85.0}}
    text = markdown(found)
    assert "| tokens/s, in terms of bare | ≥ 0.8 | 0.85 | yes |" in text
    assert "LiteLLM" not in text


def test_limits_hold_downwards_too() -> None:
    text = markdown({"launchpad": {"cpu_ms_per_request": 3.0}}, {AGENT_CPU: 2.0})
    assert "| agent node: CPU a request above `agent.run_stream`, ms | ≤ 0.4 | 1 | no |" in text


def test_the_best_peer_that_was_measured_counts() -> None:
    found = {
        "launchpad": {"first_token_ms": 1.0},
        "hayhooks": {"first_token_ms": 4.0},
        "tutorial": {"first_token_ms": 2.0},
    }
    assert "| agent node: first token, in terms of the best peer's | ≤ 1 | 0.5 | yes |" in markdown(
        found
    )


def test_nothing_measured_gives_no_table() -> None:
    assert markdown({}) == ""
