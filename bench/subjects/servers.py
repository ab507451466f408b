"""The servers by name: how each program is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.process import Server, free_port
from bench.subjects.environments import PEERS, python

__all__ = ["SERVERS", "ServerKind", "profiled_launchpad"]

APPS = Path(__file__).resolve().parent / "apps"
LAUNCHPAD_APP = APPS / "launchpad_app.py"

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
        self,
        core: int | Sequence[int],
        upstream: int,
        *,
        workers: int = 1,
        poll: float = 0.05,
        interpreter: Path | None = None,
    ) -> Server:
        """Start it pinned to the core(s) and wait until it listens.

        `interpreter` is another environment's than its own.
        """
        interpreter = interpreter or python(self.environment)
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
            [str(part) for part in self.argv(interpreter, port, upstream, workers)],
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
