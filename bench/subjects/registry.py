"""The subjects by name. A server kind is a program; a subject is one way to ask it.

Two subjects of one kind (Launchpad's workflows) share a running server.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import Call
from bench.process import Server, free_port
from bench.subjects.environments import PEERS, python

__all__ = ["SERVERS", "SUBJECTS", "ServerKind", "Subject", "profiled_launchpad"]

APPS = Path(__file__).resolve().parent / "apps"
LAUNCHPAD_APP = APPS / "launchpad_app.py"
QUESTION = "Why is the sky blue?"

Argv = Callable[[Path, int, int, int], Sequence[str]]
"""(interpreter, port, upstream's port, workers) → the command."""


@dataclass(frozen=True)
class ServerKind:
    """How one server is started. `environment` is None for the project's own."""

    name: str
    argv: Argv
    environment: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)

    def start(
        self, core: int | Sequence[int], upstream: int, *, workers: int = 1, poll: float = 0.05
    ) -> Server:
        """Start it pinned to the core(s) and wait until it listens."""
        port = free_port()
        base = f"http://127.0.0.1:{upstream}/v1"
        environ = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        }
        environ |= {
            "OPENAI_BASE_URL": base,
            "OPENAI_API_KEY": "bench",
            "BENCH_UPSTREAM": base,
            "BENCH_UPSTREAM_PORT": str(upstream),
            **self.environ,
        }
        server = Server(
            [str(part) for part in self.argv(python(self.environment), port, upstream, workers)],
            port=port,
            cores=[core] if isinstance(core, int) else core,
            environ=environ,
            log=PEERS / "logs" / f"{self.name}.log",
            cwd=PEERS,
        )
        server.wait_until_listening(poll=poll)
        return server


def _app(name: str, *more: str) -> Argv:
    return lambda interpreter, port, upstream, _: [
        str(interpreter), str(APPS / f"{name}.py"), str(port), *(more or (str(upstream),))
    ]  # fmt: skip


def _launchpad(interpreter: Path, port: int, upstream: int, workers: int) -> list[str]:
    command = [str(interpreter.parent / "launchpad"), "serve", str(LAUNCHPAD_APP)]
    return [*command, "--port", str(port), "--workers", str(workers)]


def profiled_launchpad(profile: Path) -> Argv:
    """The same server under cProfile, its figures left in `profile`."""

    def argv(interpreter: Path, port: int, upstream: int, workers: int) -> list[str]:
        # -P: that file's folder does not go on sys.path.
        program = [str(interpreter), "-P", str(APPS / "launchpad_profiled.py"), str(profile)]
        return [*program, *_launchpad(interpreter, port, upstream, workers)[1:]]

    return argv


def _litellm(interpreter: Path, port: int, upstream: int, workers: int) -> list[str]:
    config = PEERS / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        "  - model_name: bench\n"
        "    litellm_params:\n"
        "      model: openai/bench\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n"
        "      api_key: bench\n"
    )
    command = [str(interpreter.parent / "litellm"), "--config", str(config)]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]


def _hayhooks(interpreter: Path, port: int, upstream: int, workers: int) -> list[str]:
    command = [str(interpreter.parent / "hayhooks"), "run", "--host", "127.0.0.1"]
    pipelines = str(APPS / "hayhooks_pipelines")
    command += ["--without-tracing", "--without-monitoring"]  # at its best
    return [*command, "--port", str(port), "--pipelines-dir", pipelines, "--workers", str(workers)]


_OURS = {
    "LAUNCHPAD_MODEL": "openai:bench",
    "LAUNCHPAD_MAX_CONCURRENT_RUNS": "20000",
    "LAUNCHPAD_REQUEST_TIMEOUT": "3600",
    "LAUNCHPAD_LOG_LEVEL": "warning",
}

SERVERS: dict[str, ServerKind] = {
    kind.name: kind
    for kind in (
        ServerKind("bare", _app("bare")),
        ServerKind("relay", _app("relay")),
        ServerKind("tutorial", _app("tutorial", "async"), "tutorial"),
        ServerKind("tutorial-sync", _app("tutorial", "sync"), "tutorial"),
        ServerKind("agent", _app("agent", "-"), "agent"),
        ServerKind(
            "litellm",
            _litellm,
            "litellm",
            {
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MASTER_KEY": "sk-bench-0123456789abcdef",
            },
        ),
        ServerKind(
            "hayhooks",
            _hayhooks,
            "hayhooks",
            {"LOG": "ERROR", "HAYSTACK_TELEMETRY_ENABLED": "False"},
        ),
        ServerKind("launchpad", _launchpad, None, {**_OURS, "LAUNCHPAD_DEBOUNCE": "0"}),
        ServerKind("launchpad-debounce", _launchpad, None, _OURS),
    )
}


@dataclass(frozen=True)
class Subject:
    """One way to ask a server. `title` is its name in the table.

    `measures` names what makes sense for it, of flat, one_token, paced, ramp, idle_memory,
    structured and workers.
    """

    name: str
    title: str
    server: str
    request: Callable[[int, str], Call]
    measures: Sequence[str] = ("one_token", "flat", "paced", "ramp", "idle_memory")
    default: bool = True

    def call(self, port: int, mode: str) -> Call:
        """Its request while the upstream is in that mode."""
        return self.request(port, mode)


def _chat(model: str, **more: object) -> Callable[[int, str], Call]:
    body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    return lambda port, mode: Call.post(port, "/v1/chat/completions", body | more)


def _message(port: int, mode: str) -> Call:
    return Call.post(port, "/chat/stream", {"message": QUESTION})


def _bare(port: int, mode: str) -> Call:
    return Call.post(port, f"/?{mode}", {"message": QUESTION})


_ALL = ("one_token", "flat", "paced", "ramp", "idle_memory")
_JSON = ("structured",)

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Subject("upstream", "the upstream itself", "", _chat("bench"), ("one_token",)),
        Subject("bare", "bare uvicorn, ready-made bytes", "bare", _bare, _ALL),
        Subject("relay", "bare uvicorn, upstream's bytes unread", "relay", _chat("bench")),
        Subject("litellm", "LiteLLM's proxy", "litellm", _chat("bench")),
        Subject("agent", "pydantic-ai agent behind FastAPI", "agent", _message),
        Subject("hayhooks", "Hayhooks", "hayhooks", _chat("bench")),
        Subject("tutorial", "OpenAI SDK behind FastAPI", "tutorial", _message),
        Subject(
            "tutorial-sync",
            "the same with the blocking SDK",
            "tutorial-sync",
            _message,
            ("one_token", "flat"),
            default=False,
        ),
        Subject("launchpad", "Launchpad, agent node", "launchpad", _chat("text"),
                (*_ALL, "workers")),
        Subject("launchpad-chat", "Launchpad, `chat`", "launchpad", _chat("chat"), _ALL),
        Subject("launchpad-plain", "Launchpad, node without agent", "launchpad", _chat("plain"),
                ("one_token",)),
        Subject("launchpad-json", "Launchpad, structured fragments", "launchpad",
                _chat("structured"), _JSON),
        Subject("launchpad-text-json", "Launchpad, the same deltas as text", "launchpad",
                _chat("text"), _JSON),
        Subject("launchpad-valid-json", "Launchpad, `valid_json_chunks`", "launchpad",
                _chat("structured", stream_options={"valid_json_chunks": True}), _JSON),
        Subject("launchpad-debounce", "Launchpad, agent node, default debounce",
                "launchpad-debounce", _chat("text"), ("one_token", "flat", "paced", "ramp")),
        Subject("launchpad-chat-debounce", "Launchpad, `chat`, default debounce",
                "launchpad-debounce", _chat("chat"), ("one_token", "flat", "paced", "ramp")),
        Subject("launchpad-valid-json-debounce", "Launchpad, `valid_json_chunks`, default debounce",
                "launchpad-debounce",
                _chat("structured", stream_options={"valid_json_chunks": True}), _JSON),
    )
}  # fmt: skip
