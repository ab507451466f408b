"""The model inside this machine: SmolLM2-135M-Instruct on llama.cpp, in a process of its own.

`endpoint()` says where it listens, and starts it when no process of this tree has done so.
"""

from launchpad.models.local.shared import LocalEndpoint, endpoint, stop

__all__ = ["LocalEndpoint", "endpoint", "stop"]
