"""The owner's side of the model's process: start it, watch it, replace it, stop it."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from launchpad.errors import ConfigurationError
from launchpad.models.extras import to_install
from launchpad.models.local import openmp
from launchpad.models.local.progress import step
from launchpad.models.local.weights import weights_path
from launchpad.settings import Settings

__all__ = ["MODEL_NAME", "LocalEndpoint", "LocalServer"]

MODEL_NAME = "SmolLM2-135M-Instruct"
LOAD_TIMEOUT = 120.0
"""Seconds the model may take to load; a cold disk takes a few."""
STOP_TIMEOUT = 3.0
BIRTH_TIMEOUT = 1.0
"""Seconds that an end waits for a process that is just being made."""
SHORT_LIFE = 10.0
"""A process that ends within this many seconds of its start is not replaced at once."""
BACK_OFF = 1.0
"""Seconds until it is, doubled with every further one, up to `MAX_BACK_OFF`."""
MAX_BACK_OFF = 30.0

logger = logging.getLogger("launchpad.models.local")


@dataclass(frozen=True, kw_only=True)
class LocalEndpoint:
    """Where the model listens: an OpenAI-compatible `base_url` (with `/v1`) and its key."""

    base_url: str
    api_key: str = field(repr=False)
    model_name: str = MODEL_NAME


class LocalServer:
    """One llama.cpp server in a child process of this process.

    Its port and key stay the same when the process has to be replaced after a crash, so that
    what was told to workers and clients stays true.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._key = secrets.token_urlsafe(24)
        self._port = 0
        self._child: subprocess.Popen[str] | None = None
        self._birth = threading.Lock()
        """Held until a process that has been made is known as `_child`."""
        self._endpoint: LocalEndpoint | None = None
        self._stopped = threading.Event()
        self._short_lives = 0
        self._environment: dict[str, str] | None = None
        """The child's, where it is not this process's own."""

    @property
    def pid(self) -> int | None:
        """The child's process id while it is alive."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def endpoint(self) -> LocalEndpoint:
        """Start the process if it is not alive; wait until it answers (about a second)."""
        with self._lock:
            if self._endpoint is None or self.pid is None:
                self._stopped.clear()
                self._endpoint = self._start()
            return self._endpoint

    def stop(self) -> None:
        """End the process and wait for its end; a request under way is cut.

        A start that is under way fails, wherever it is: the lock, which it holds for seconds, for
        minutes where the weights are fetched, is not waited for.
        """
        self._stopped.set()
        # A thread that is making the process may never run again after this.
        known = self._birth.acquire(timeout=BIRTH_TIMEOUT)
        child = self._child
        if known:
            self._birth.release()
        if child is not None:
            child.kill()
            _end(child)

    def _start(self) -> LocalEndpoint:
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigurationError(
                f"The local model needs llama.cpp: {to_install('local')}. "
                "Or choose another model with --model PROVIDER:NAME."
            )
        path = weights_path()
        with step(f"Loading {MODEL_NAME}", f"{MODEL_NAME} is loaded"):
            try:
                url = self._spawn(path, self._port)
            except ConfigurationError:
                # Other processes know the old port: it is given up only where somebody took it.
                if not self._port or self._stopped.is_set() or not _is_taken(self._port):
                    raise
                url = self._spawn(path, 0)
        self._port = urlsplit(url).port or 0
        return LocalEndpoint(base_url=f"{url}/v1", api_key=self._key)

    def _spawn(self, weights: Path, port: int) -> str:
        """Start the child and return the URL it reports."""
        script = Path(__file__).with_name("child.py")
        # Its own session: Ctrl-C in the terminal is the owner's to handle, and streams may finish.
        with self._birth:
            if self._stopped.is_set():
                raise ConfigurationError("The local model was ended before it had started.")
            self._child = child = subprocess.Popen(  # noqa: S603  (our own script)
                [sys.executable, "-P", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=self._environment,
                start_new_session=True,
            )
        if self._stopped.is_set():  # before it could be seen there
            child.kill()
        words: deque[str] = deque(maxlen=20)
        threading.Thread(
            target=self._watch, args=(child, words), name="launchpad-local-model", daemon=True
        ).start()
        late = threading.Timer(LOAD_TIMEOUT, child.kill)
        late.daemon = True
        late.start()
        try:
            answer = self._handshake(child, weights, port)
        except BaseException:
            _end(child)
            raise
        finally:
            late.cancel()
        if "url" not in answer:
            _end(child)
            reason = answer.get("error") or "; ".join(words) or "it ended without a word"
            if openmp.LIBRARY in reason and self._environment is None:
                self._environment = openmp.environment()
                return self._spawn(weights, port)
            raise ConfigurationError(f"The local model could not be started: {reason}")
        return answer["url"]

    def _handshake(self, child: subprocess.Popen[str], weights: Path, port: int) -> dict[str, str]:
        wanted = {
            "path": str(weights),
            "alias": MODEL_NAME,
            "api_key": self._key,
            "port": port,
            "context": self._settings.local_context,
            "parallel": self._settings.local_parallel,
            "threads": self._settings.local_threads or _threads(),
        }
        if child.stdin is None or child.stdout is None:
            raise AssertionError("the pipes were asked for")
        with child.stdout:
            try:
                child.stdin.write(json.dumps(wanted) + "\n")
                child.stdin.flush()
            except (BrokenPipeError, ValueError):  # it ended, or was ended
                return {}
            line = child.stdout.readline()
        answer: dict[str, str] = json.loads(line) if line.strip() else {}
        return answer

    def _watch(self, child: subprocess.Popen[str], words: deque[str]) -> None:
        """Read what the child says until it ends; replace it if nobody ended it."""
        started = time.monotonic()
        if child.stderr is not None:
            with child.stderr:
                for line in child.stderr:
                    words.append(line.strip())
        code = child.wait()
        _end(child)
        with self._lock:
            if not self._is_missed(child):
                return
            logger.warning("The local model's process ended (code %s). %s", code, "; ".join(words))
            delay = self._back_off(time.monotonic() - started)
        # Not for ever in vain, and not left to a request either: where this process supervises
        # others, no request comes by here.
        self._stopped.wait(delay)
        with self._lock:
            if not self._is_missed(child):
                return
            try:
                self._endpoint = self._start()
            except ConfigurationError as error:
                # A process that failed to start is watched like this one.
                logger.error("The local model could not be started again: %s", error)  # noqa: TRY400

    def _is_missed(self, child: subprocess.Popen[str]) -> bool:
        """Whether the child, which has ended, should be there."""
        return not (self._stopped.is_set() or self._child is not child or self._endpoint is None)

    def _back_off(self, life: float) -> float:
        """Seconds to wait before the next start."""
        if life >= SHORT_LIFE:
            self._short_lives = 0
            return 0.0
        self._short_lives += 1
        return min(BACK_OFF * 2.0 ** (self._short_lives - 1), MAX_BACK_OFF)


def _end(child: subprocess.Popen[str]) -> None:
    """Close the child's stdin, which ends it; kill it if that does not. Returns when it is gone."""
    if child.stdin is not None:
        try:
            child.stdin.close()
        except (BrokenPipeError, ValueError):
            logger.debug("the local model's process had ended already")
    try:
        child.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _threads() -> int:
    """All cores but one; beyond eight so small a model gets no faster.

    llama.cpp's threads wait for each other spinning. Where they have every core and anything else
    wants one too, the model falls from 80 tokens a second to one (measured, two cores); with a
    core left to the others it keeps its share.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cores - 1, 8))
