"""Models: what an agent says about its model, and how one is built, streamed and closed.

Importing this imports neither pydantic-ai nor a provider's SDK; using it does.
"""

from launchpad.models.config import AgentConfig, ModelProvider, RetryPolicy
from launchpad.models.loops import aclose_clients
from launchpad.models.provider import build_model, check_config, parse_model_name

__all__ = [
    "AgentConfig",
    "ModelProvider",
    "RetryPolicy",
    "aclose_clients",
    "build_model",
    "check_config",
    "parse_model_name",
]
