"""Models: what an agent says about its model, and how one is built, streamed and closed.

Importing this imports no provider's SDK and not pydantic-ai; the modules below do when they are used.
"""

from launchpad.models.config import AgentConfig, ModelProvider
from launchpad.models.loops import aclose_clients
from launchpad.models.provider import build_model, check_config, parse_model_name

__all__ = [
    "AgentConfig",
    "ModelProvider",
    "aclose_clients",
    "build_model",
    "check_config",
    "parse_model_name",
]
