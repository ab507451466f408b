"""The local model's process never outlives its owner, whenever and however that ends."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.cli.conftest import descendants, environment, wait_until_gone

from launchpad.models.local import child, openmp
from launchpad.models.local.weights import weights_path

from .harness import eventually

pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
if importlib.util.find_spec("xllamacpp") is None:
    pytest.skip("xllamacpp is not installed", allow_module_level=True)


def surroundings() -> dict[str, str] | None:
    """The environment in which llama.cpp finds its libraries."""
    try:
        ctypes.CDLL(openmp.LIBRARY)
    except OSError:
        return openmp.environment()
    return None


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2, 0.3, 0.4])
def test_an_owner_that_dies_while_the_model_loads(moment: float) -> None:
    """All of its pipes close, as by kill -9. Once, the answer's broken pipe left it hanging."""
    wanted = {
        "path": str(weights_path()),
        "alias": "model",
        "api_key": "key",
        "port": 0,
        "context": 512,
        "parallel": 1,
        "threads": 1,
    }
    with subprocess.Popen(
        [sys.executable, "-P", child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=surroundings(),
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(wanted).encode() + b"\n")
        process.stdin.flush()
        time.sleep(moment)  # the moments differ, whatever the machine's speed makes of them
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        try:
            process.wait(30)
        finally:
            process.kill()


LIBRARY = """
import uvicorn
from launchpad.api.app import create_app
uvicorn.run(create_app(), port=0, log_level="info")
"""


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_plain_library_process(tmp_path: Path, end: signal.Signals, loaded: bool) -> None:
    """`uvicorn.run(create_app())` starts the model with the first request that needs it."""
    with subprocess.Popen(
        [sys.executable, "-c", LIBRARY],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(LAUNCHPAD_LOCAL_CONTEXT="512", LAUNCHPAD_LOCAL_PARALLEL="1"),
    ) as process:
        assert process.stderr is not None
        url = ""
        for line in process.stderr:
            if "running on" in line:
                url = line.split(" on ")[1].split()[0]
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}
        if loaded:
            httpx.post(f"{url}/v1/chat/completions", json=body, timeout=90).raise_for_status()
        else:
            with contextlib.suppress(httpx.TimeoutException):
                httpx.post(f"{url}/v1/chat/completions", json=body, timeout=0.5)
        eventually(lambda: descendants(process.pid), "the model's process", 60)
        everyone = descendants(process.pid)
        os.kill(process.pid, end)
        process.wait(60)
    wait_until_gone(everyone)
