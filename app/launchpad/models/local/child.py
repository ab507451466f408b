"""The process that holds the model: `python -P child.py`, a script of its own.

It speaks with its owner over pipes. One line of JSON comes in (`CommonParams` by name: `path`,
`alias`, `api_key`, `port`, `context`, `parallel`, `threads`); one line goes out, `{"url": …}` or
`{"error": …}`. When its stdin ends, because the owner closed it or died in whatever way, the
process ends at once: llama.cpp's own stop waits for running requests, and there is nothing to save.

It imports nothing of Launchpad, so that it starts in the time that the model takes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from typing import Any


def main() -> None:
    """Load the model, answer requests on loopback, leave when the owner leaves."""
    # llama.cpp may print; the answer's pipe is kept for the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    code = 1
    try:
        wanted: dict[str, Any] = json.loads(sys.stdin.readline())
        # The owner may die while the model loads.
        threading.Thread(target=_leave_with_owner, daemon=True).start()
        server = _load(wanted)
        _say(answer, {"url": server.listening_address})
        code = 0
        threading.Event().wait()
    except Exception as error:  # noqa: BLE001  (whatever it is, the owner tells the user)
        _say(answer, {"error": f"{type(error).__name__}: {error}"})
    finally:
        # Not by returning: Python would wait for llama.cpp's threads, and those for ever.
        os._exit(code)


def _leave_with_owner() -> None:
    try:
        sys.stdin.read()
    finally:
        os._exit(0)


def _say(answer: int, words: dict[str, str]) -> None:
    with os.fdopen(answer, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(words) + "\n")


def _load(wanted: dict[str, Any]) -> Any:
    xllamacpp: Any = importlib.import_module("xllamacpp")  # it has no types
    params = xllamacpp.CommonParams()
    params.model.path = wanted["path"]
    params.model_alias = {wanted["alias"]}
    params.api_keys = [wanted["api_key"]]
    params.port = wanted["port"]
    params.n_ctx = wanted["context"]
    params.n_parallel = wanted["parallel"]
    params.cpuparams.n_threads = wanted["threads"]
    params.cpuparams_batch.n_threads = wanted["threads"]
    # With one cache for all, a long conversation ends all others ("Context size has been
    # exceeded"); so each slot has its share.
    params.kv_unified = False
    # By default up to 8 GiB of old prompts are kept; a slot's own cache is enough.
    params.cache_ram_mib = 0
    params.verbosity = 0
    params.ui = False
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
