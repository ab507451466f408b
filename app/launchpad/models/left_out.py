"""Which settings of a request pydantic-ai leaves out, because the model would not take them.

It does so while it maps a request: what a model's class cannot send (`Model.unsupported_settings`),
what its profile excludes, sampling while an OpenAI model reasons, and sampling for the Claudes that
refuse it. All of that follows from the model and the settings, before anything is asked;
`tests/models/test_left_out.py` holds it against the requests that are sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel

if TYPE_CHECKING:
    from pydantic_ai.models import Model

__all__ = ["left_out"]

_OF_OPENAI = frozenset({"openai_user", "openai_reasoning_effort"})
_WHILE_REASONING = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"}
)
_OF_CLAUDE = frozenset({"temperature", "top_p"})


def left_out(model: Model, settings: Mapping[str, Any]) -> frozenset[str]:
    """The names of those of `settings` that `model` is not asked with.

    Of several models, one after another's failure, it is the first that counts.
    """
    while isinstance(model, WrapperModel | FallbackModel):
        model = model.wrapped if isinstance(model, WrapperModel) else model.models[0]
    profile: Mapping[str, Any] = dict(model.profile)
    merged = {**(model.settings or {}), **settings}
    missing = model.unsupported_settings | set(profile.get("openai_unsupported_model_settings", ()))
    if _speaks_openai(model):
        if _is_reasoning(profile, merged):
            missing |= _WHILE_REASONING
    else:
        missing |= _OF_OPENAI
        if profile.get("anthropic_disallows_sampling_settings") or profile.get(
            "bedrock_disallows_sampling_settings"
        ):
            missing |= _OF_CLAUDE
    if not _takes_thinking(profile):
        missing |= {"thinking"}
    return frozenset(missing & settings.keys())


def _speaks_openai(model: Model) -> bool:
    """By the names of its classes: to import pydantic-ai's takes long where none is used."""
    return any(
        base.__module__.startswith("pydantic_ai.models.openai") for base in type(model).__mro__
    )


def _takes_thinking(profile: Mapping[str, Any]) -> bool:
    return bool(profile.get("supports_thinking") or profile.get("thinking_always_enabled"))


def _is_reasoning(profile: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether an OpenAI model reasons about this request: it samples as it likes then."""
    if not profile.get("openai_supports_reasoning"):
        return False
    efforts = profile.get("openai_reasoning_efforts")
    can_stop = profile.get("openai_supports_reasoning_effort_none", False)
    if not (can_stop if efforts is None else "none" in efforts):
        return True
    effort = settings.get("openai_reasoning_effort")
    if effort is not None:
        return bool(effort != "none")
    thinking = settings.get("thinking")
    if thinking is not None and _takes_thinking(profile):
        return thinking is not False or bool(profile.get("thinking_always_enabled"))
    return bool(profile.get("thinking_enabled_by_default"))
