"""Medians, ratios and the marks of the table."""

from __future__ import annotations

from bench.report import markdown, medians


def test_it_says_whether_idle_cores_halted() -> None:
    bare = {"bare": {"tokens_per_s": 1.0}}
    assert "Idle cores stayed awake." in markdown(bare, rounds=1, quick=True, stays_awake=True)
    assert "Idle cores halted." in markdown(bare, rounds=1, quick=True)


def test_medians_of_the_rounds() -> None:
    assert medians({"bare": {"tokens_per_s": [1, 9, 2]}}) == {"bare": {"tokens_per_s": 2}}


def test_the_table_names_ratios_to_bare_and_what_failed() -> None:
    found = {
        "bare": {"tokens_per_s": 150_000.0, "cpu_us_per_token": 6.6},
        "launchpad": {"tokens_per_s": 120_000.0},
    }

    text = markdown(found, rounds=3, quick=False, failures=["hayhooks, start: no"])

    assert "Medians of 3 interleaved rounds" in text
    assert "| bare uvicorn, ready-made bytes | 150,000 (1 ×) | 6.6 |" in text
    assert "| Launchpad, agent node | 120,000 (0.8 ×) |" in text
    assert "- hayhooks, start: no" in text
    assert "uvicorn" in text.partition("Versions:")[2]


def test_a_figure_that_the_clients_limited_is_marked() -> None:
    busy = {"tokens_per_s": 1e6, "load_share": 0.7, "upstream_share": 0.25, "server_share": 0.5}
    text = markdown({"bare": busy}, rounds=1, quick=True)
    assert "1,000,000 (1 ×) †" in text
    assert "† The clients' core was the limit" in text


def test_structured_and_workers_have_tables_of_their_own() -> None:
    found = {
        "launchpad-valid-json": {
            "json_cpu_us_per_delta_1k": 3.25,
            "json_bytes_per_document_byte_1k": 12.0,
        },
        "launchpad": {
            "tokens_per_s_on_1": 1000.0,
            "tokens_per_s_on_2": 1900.0,
            "two_worker_ratio": 1.9,
        },
    }
    text = markdown(found, rounds=1, quick=False)
    assert "| Launchpad, `valid_json_chunks` | 3.25 | 12 |" in text
    assert "| Launchpad, agent node | 1,000 | 1,900 | 1.90 |" in text


def test_a_disturbed_server_is_marked() -> None:
    shared = {"tokens_per_s": 1e5, "load_share": 0.2, "upstream_share": 0.0, "server_share": 0.5}
    text = markdown({"bare": shared}, rounds=1, quick=True)
    assert "100,000 (1 ×) ‡" in text
