"""What an agent node says about its model: `AgentConfig` and `ModelProvider`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import NoneType
from typing import Any, cast

from launchpad.errors import ConfigurationError


class ModelProvider(StrEnum):
    """Where a model is served. The value is the name used in `--model PROVIDER:NAME`."""

    OPENAI = "openai"
    """Chat completions; `OPENAI_BASE_URL` is honoured."""
    OPENAI_RESPONSES = "openai-responses"
    OPENAI_COMPATIBLE = "openai-compatible"
    """Any server of `/v1/chat/completions`; needs `base_url`."""
    AZURE_OPENAI = "azure"
    ANTHROPIC = "anthropic"
    MISTRAL = "mistral"
    GOOGLE_GEMINI = "google-gemini"
    GOOGLE_VERTEX_AI = "google-vertex"
    BEDROCK = "bedrock"
    OLLAMA = "ollama"
    GROQ = "groq"
    OPENROUTER = "openrouter"
    LOCAL = "local"
    """The model that runs inside this machine; needs no key."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often, and when, a model that failed before its first content is asked again.

    `attempts` counts the first one too. The wait is the upstream's own `Retry-After`, or else
    `backoff` seconds, doubled each time up to `max_backoff`, shortened at random by up to a
    quarter. A `Retry-After` above `max_retry_after` is not waited for. Asked again are models
    that could not be reached, were silent, broke off, or answered with 429 or 5xx.
    """

    attempts: int = 3
    backoff: float = 0.5
    max_backoff: float = 8.0
    max_retry_after: float = 20.0


Instructions = str | Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent node's pydantic-ai `Agent` is built.

    `model_provider` and `model_name` left out mean the configured default model
    (`LAUNCHPAD_MODEL`); a provider may also be given by its value, `"openai"`. `output_type` is
    anything that pydantic-ai takes as output type; `system_prompt` and `instructions` are both sent
    with every request, in this order; an agent's instructions may be functions, too, as pydantic-ai
    takes them. `tools` run on the server and stay hidden from the client. `base_url` and `api_key`
    win over the provider's environment variables. `model_settings` are defaults: a request's own
    sampling parameters win.

    `retry` and `fallbacks` act before the first content only; what a client has seen is never
    begun again. A fallback is a model's name (at the same provider, or `PROVIDER:NAME`) or a
    config, of which what names the model and its `retry` are read.

    Raises `ConfigurationError`, which says what to write, for fields of another type.
    """

    model_provider: ModelProvider | None = None
    model_name: str | None = None
    output_type: Any = str
    instructions: Instructions | Sequence[Instructions] | None = None
    system_prompt: str | Sequence[str] = ()
    tools: Sequence[Any] = ()
    deps_type: type[Any] = NoneType
    model_settings: Mapping[str, Any] | None = None
    retries: int = 1
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    name: str | None = None
    retry: RetryPolicy | None = None
    fallbacks: Sequence[AgentConfig | str] = ()

    def __post_init__(self) -> None:
        # One is made for every request, so a usual one costs no more than a look at its classes.
        if (
            self.model_provider.__class__ not in _PROVIDERS
            or self.tools.__class__ not in _LISTS
            or self.fallbacks.__class__ not in _LISTS
            or self.instructions.__class__ not in _TEXTS
            or self.retry.__class__ not in _RETRIES
            or isinstance(self.output_type, str)
        ):
            _check(self)
            object.__setattr__(self, "model_provider", provider_of(self.model_provider))


_PROVIDERS: frozenset[type] = frozenset({NoneType, ModelProvider})
_LISTS: frozenset[type] = frozenset({tuple, list})
_TEXTS: frozenset[type] = frozenset({NoneType, str})
_RETRIES: frozenset[type] = frozenset({NoneType, RetryPolicy})


def provider_of(given: object) -> ModelProvider | None:
    """`model_provider` as a config's author wrote it. Raises `ConfigurationError`."""
    if given is None:
        return None
    try:
        return ModelProvider(
            given.strip().lower() if isinstance(given, str) else cast("Any", given)
        )
    except ValueError:
        known = ", ".join(one.value for one in ModelProvider)
        raise ConfigurationError(
            f"model_provider is {said(given)}, not one of ModelProvider; use one of these, or its "
            f"value: {known}."
        ) from None


def _check(config: AgentConfig) -> None:
    for wrong in _wrong_fields(config):
        raise ConfigurationError(wrong)


def _wrong_fields(config: AgentConfig) -> Iterator[str]:
    """What is wrong with each field, and what to write."""
    output: object = config.output_type
    if isinstance(output, str):
        yield f"output_type is {said(output)}; write the type itself, without quotes."
    tools: object = config.tools
    if not isinstance(tools, Iterable) or isinstance(tools, str | Mapping | Iterator):
        written = getattr(tools, "__name__", "…")
        yield f"tools is {said(tools)}, not a list; write tools=[{written}]."
    fallbacks: object = config.fallbacks
    if isinstance(fallbacks, str | AgentConfig) or not isinstance(fallbacks, Iterable):
        written = repr(str(fallbacks)) if isinstance(fallbacks, str) else "…"
        yield f"fallbacks is {said(fallbacks)}, not a list; write fallbacks=[{written}]."
    retry: object = config.retry
    if retry is not None and not isinstance(retry, RetryPolicy):
        attempts = retry if type(retry) is int else "…"
        yield f"retry is {said(retry)}; write retry=RetryPolicy(attempts={attempts})."
    instructions = config.instructions
    if instructions is not None and not _are_instructions(instructions):
        yield (f"instructions is {said(instructions)}; give a str, a function, or a list of these.")


def check_parts(config: AgentConfig) -> None:
    """Check what making the config did not look at, once for an agent.

    Raises `ConfigurationError`.
    """
    for name, kinds, remedy in _FIELDS:
        given: object = getattr(config, name)
        if not isinstance(given, kinds):
            raise ConfigurationError(f"{name} is {said(given)}; {remedy}.")
    _check_output_type(config.output_type)
    for tool in config.tools:
        # pydantic-ai's Tool is no function, and has one.
        if not (callable(tool) or hasattr(tool, "function")):
            raise ConfigurationError(
                f"tools holds {said(tool)}; give functions, or pydantic-ai's Tool "
                "objects. (A toolset is given to a run: toolsets=[…].)"
            )


_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("model_name", str | None, "give the model's name, a str"),
    ("base_url", str | None, "give the address, a str"),
    ("api_key", str | None, "give the key, a str"),
    # As for instructions, a function will do, too; and None is what a variable unset may give.
    ("system_prompt", (Collection, Callable, NoneType), "give a str, or a list of these"),
    ("model_settings", (Mapping, NoneType), "give a mapping, such as {'temperature': 0.2}"),
    ("retries", (int, Mapping, NoneType), "give a number"),
)


def _check_output_type(given: object) -> None:
    if given is None:
        raise ConfigurationError("output_type is None; leave it out for text, or write a type.")
    several = isinstance(given, list | tuple)
    where = f"output_type {'holds' if several else 'is'}"
    for one in cast("Sequence[object]", given) if several else (given,):
        kind = type(one)
        if isinstance(one, str):
            raise ConfigurationError(f"{where} {said(one)}; write the type itself, without quotes.")
        if isinstance(one, Mapping):
            raise ConfigurationError(
                f"{where} a {kind.__name__}; derive a class from the node's OutputType, and write "
                "that."
            )
        if hasattr(kind, "model_json_schema"):
            name = kind.__name__
            raise ConfigurationError(f"{where} an instance of {name}; write the class, {name}.")


def misspelt(problem: str) -> str:
    """What Python says of a call of `AgentConfig` that it refuses, with what to write."""
    names = [one.name for one in fields(AgentConfig)]
    given = re.search(r"unexpected keyword argument '(\w+)'", problem)
    if given is None:
        return "AgentConfig takes its fields by name; write AgentConfig(model_name=…)."
    near = difflib.get_close_matches(given[1], names, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}."
    return f"AgentConfig has no field {given[1]!r}; {hint}"


def _are_instructions(given: object) -> bool:
    if isinstance(given, str) or callable(given):
        return True
    if not isinstance(given, list | tuple):
        return False
    return all(isinstance(one, str) or callable(one) for one in cast("Sequence[object]", given))


def said(value: object) -> str:
    """A value as an error names it: a text by itself, a function by its name, else its class."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"the str {str(value)!r}"
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return f"a value of type {type(value).__name__}"


def is_model_type(wanted: Any) -> bool:
    """Whether an output type is a class with fields: a pydantic model, dataclass or TypedDict."""
    return isinstance(wanted, type) and (
        hasattr(wanted, "model_json_schema")
        or hasattr(wanted, "__dataclass_fields__")
        or hasattr(wanted, "__required_keys__")
    )


def instructions_of(config: AgentConfig) -> list[Instructions]:
    """Both kinds as instructions, which reach the model in every request.

    pydantic-ai drops an agent's `system_prompt` where a message history is given, as the client's
    is here.
    """
    prompts, instructions = config.system_prompt, config.instructions
    if prompts == () and (instructions is None or isinstance(instructions, str)):
        # As nearly all are, in every request.
        return [] if instructions is None else [instructions]
    return [*_each(prompts), *_each(instructions)]


def _each(given: Instructions | Sequence[Instructions] | None) -> Sequence[Instructions]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) or callable(given) else given
