from __future__ import annotations

import asyncio
import contextvars
import io
import logging
from collections.abc import Iterator
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launchpad.errors import ConfigurationError
from launchpad.events import Usage
from launchpad.observe.logs import (
    LineFormatter,
    bind_run,
    configure_logging,
    hide,
    log_run_end,
    log_runs_soon,
    redact,
    unbind_run,
)
from launchpad.runs.in_process import Runs
from launchpad.settings import Settings
from launchpad.stream.mailbox import Mailbox


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server's log shows; the process's logging is put back afterwards."""
    root = logging.getLogger()
    names = ("launchpad", "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    levels = {name: logging.getLogger(name).level for name in names}
    before = (root.level, list(root.handlers))
    stream = io.StringIO()
    configure_logging("info", stream=stream, secrets=["correct horse battery"])
    yield stream
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_each_line_names_its_run(log: io.StringIO) -> None:
    logger = logging.getLogger("launchpad.core")

    async def run(name: str) -> None:
        bind_run(name, "DemoWorkflow")
        await asyncio.sleep(0)
        await asyncio.to_thread(logger.info, "from a thread of %s", name)

    async def main() -> None:
        await asyncio.gather(run("run_1"), run("run_2"))
        logger.info("outside")

    asyncio.run(main())

    lines = sorted(line.split("launchpad.core", 1)[1] for line in log.getvalue().splitlines())
    assert lines == [
        " [run_1 DemoWorkflow] from a thread of run_1",
        " [run_2 DemoWorkflow] from a thread of run_2",
        " outside",
    ]


def test_unbinding_goes_back(log: io.StringIO) -> None:
    outer = bind_run("run_1", "Outer")
    inner = bind_run("run_2", "Inner")
    unbind_run(inner)
    logging.getLogger("launchpad").info("in outer")
    unbind_run(outer)
    logging.getLogger("launchpad").info("in none")
    assert "[run_1 Outer] in outer" in log.getvalue()
    assert "launchpad in none" in log.getvalue()


def test_a_message_is_one_line(log: io.StringIO) -> None:
    logging.getLogger("launchpad").warning("a\n2026-01-01 INFO forged\r\u2028\x1b[31m é")
    assert log.getvalue().endswith(r"a\n2026-01-01 INFO forged\r\u2028\x1b[31m é" + "\n")
    assert log.getvalue().count("\n") == 1


def test_a_traceback_follows_and_is_redacted(log: io.StringIO) -> None:
    def send() -> None:
        raise ValueError("Authorization: Bearer abcdefgh12345678")

    try:
        send()
    except ValueError:
        logging.getLogger("launchpad").exception("failed with correct horse battery")
    text = log.getvalue()
    assert "Traceback" in text
    assert "Authorization: [hidden]" in text
    assert "failed with [hidden]" in text
    assert "horse" not in text


def fail(words: str) -> NoReturn:
    raise ValueError(words)


def test_a_traceback_forges_no_line_either(log: io.StringIO) -> None:
    try:
        fail("a\n2026-01-01 INFO forged\r\u2028\x1b[31m é")
    except ValueError:
        logging.getLogger("launchpad").exception("failed")
    first, *below = log.getvalue().removesuffix("\n").split("\n")
    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in below)
    assert below[-1] == r"    2026-01-01 INFO forged\r\u2028\x1b[31m é"


def test_a_secret_of_several_lines_is_hidden(log: io.StringIO) -> None:
    secret = "\n".join(["-----BEGIN KEY-----", "battery", "staple", "-----END KEY-----"])
    hide([secret])
    try:
        fail(secret)
    except ValueError:
        logging.getLogger("launchpad").exception("failed: %s\n", secret)
    assert "staple" not in log.getvalue()
    assert "failed: [hidden]" in log.getvalue()
    assert "ValueError: [hidden]" in log.getvalue()


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abc_DEF-0123456789",
        "sk-ant-api03-abcdefgh",
        "wai--abcdefgh1234",
        "gsk-abcdefgh1234",
        "Bearer eyJhbGciOi.J9abc-def",
        "AIza" + "x" * 35,
    ],
)
def test_what_looks_like_a_key_is_hidden(secret: str) -> None:
    assert redact(f"before {secret} after") == "before [hidden] after"


def test_named_values_are_hidden() -> None:
    assert "s3cretvalue" not in redact('{"api_key": "s3cretvalue"} token=s3cretvalue')
    assert redact("task-1234567890 and a token stream") == "task-1234567890 and a token stream"


# With the letters beyond ASCII that mean the same where case does not count: a long s, Kelvin's K,
# an i without its dot and an I with one.
NAMES = st.sampled_from(
    [
        *("bearer ", "Basic\t", "BEARER\n", "ba\u017fic ", "sk-", "pk--", "rk-", "gsk-", "wai-"),
        *("xai-", "key-", "AIza", "api-key", "API_KEY", "apiKey", "Secret", "\u017fecret", "TOKEN"),
        *("tokens_", "to\u212aen", "password", "pa\u017f\u017fword", "x"),
        *("ap\u0131key", "ap\u0130_key", "bas\u0131c "),
    ]
)
BETWEEN = st.sampled_from(["", "=", '="', '": "', " : ", " ", "-", "tokens_"])
VALUES = st.sampled_from(["0123456789abcdef", "x" * 40, "short", ""])
TEXTS = st.lists(st.tuples(NAMES, BETWEEN, VALUES).map("".join), max_size=3).map(" ".join)


@given(TEXTS)
@settings(max_examples=400)
def test_a_text_is_looked_through_whenever_it_may_hold_a_key(text: str) -> None:
    # Behind a line with a word that keys have, nothing is passed over.
    assert redact(text + "\nkey-") == redact(text) + "\nkey-"


def test_keys_of_the_environment_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "plain words as a key")
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    logging.getLogger("other").warning("sent plain words as a key to it")
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    assert "sent [hidden] to it" in stream.getvalue()


def test_other_libraries_speak_from_warnings_on(log: io.StringIO) -> None:
    logging.getLogger("aiohttp.client").info("quiet")
    logging.getLogger("uvicorn.access").info("GET /health")
    logging.getLogger("launchpad.core").debug("too fine")
    assert "quiet" not in log.getvalue()
    assert "too fine" not in log.getvalue()
    assert log.getvalue().count("GET /health") == 1


def test_an_unknown_level_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"LAUNCHPAD_LOG_LEVEL.*'loud'"):
        configure_logging("loud")


def test_lines_of_one_second_and_of_the_next_have_their_own_times() -> None:
    formatter, reference = LineFormatter(), logging.Formatter()
    for moment in (1_700_000_000.25, 1_700_000_000.999, 1_700_000_001.001, 1_700_000_000.5):
        record = logging.makeLogRecord({"created": moment, "msecs": moment % 1 * 1000, "msg": "x"})
        assert formatter.format(record).startswith(reference.formatTime(record) + " ")


def test_a_run_that_answers_a_client_is_logged_in_a_later_turn(log: io.StringIO) -> None:
    async def run() -> None:
        log_runs_soon()
        before = bind_run("run_1", "DemoWorkflow")
        log_run_end(
            run_id="run_1", workflow="DemoWorkflow", model="m", status="completed", duration=1
        )
        unbind_run(before)
        assert not log.getvalue()
        await asyncio.sleep(0)
        assert "launchpad.run [run_1 DemoWorkflow] run ended run=run_1" in log.getvalue()

    asyncio.run(run())


def test_so_are_the_runs_of_a_server(log: io.StringIO) -> None:
    before: list[str] = []

    async def produce(mailbox: Mailbox) -> None:
        log_run_end(run_id="run_1", workflow="W", model="m", status="completed", duration=1)
        before.append(log.getvalue())

    async def main() -> None:
        async for _ in Runs(Settings()).start(produce, run_id="run_1"):
            pass

    asyncio.run(main())
    assert before == [""]
    assert "run ended run=run_1" in log.getvalue()


def test_a_run_that_ends_where_no_loop_runs_is_logged_at_once(log: io.StringIO) -> None:
    def run() -> None:
        log_runs_soon()
        log_run_end(run_id="run_1", workflow="W", model="m", status="cancelled", duration=1)

    contextvars.copy_context().run(run)
    assert "status=cancelled" in log.getvalue()


def test_the_line_of_a_run(log: io.StringIO) -> None:
    log_run_end(
        run_id="run_1",
        workflow="DemoWorkflow",
        model="my model\n",
        status="completed",
        duration=1.2345,
        usage=Usage(input_tokens=12, output_tokens=34),
        finish_reason="stop",
        metadata={"agent_id": "my-agent"},
    )
    assert log.getvalue().split("launchpad.run ", 1)[1] == (
        'run ended run=run_1 workflow=DemoWorkflow model="my model\\n" status=completed ms=1234 '
        'tokens_in=12 tokens_out=34 finish=stop metadata={"agent_id":"my-agent"}\n'
    )


def test_unknown_values_are_left_out_and_metadata_is_cut(log: io.StringIO) -> None:
    log_run_end(
        run_id="run_1",
        workflow="DemoWorkflow",
        model="default",
        status="failed",
        duration=0.01,
        code="upstream_timeout",
        metadata={"note": "x" * 5000},
    )
    line = log.getvalue()
    assert "tokens" not in line
    assert "finish=" not in line
    assert "status=failed ms=10 code=upstream_timeout" in line
    assert len(line) < 1400
