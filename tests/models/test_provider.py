from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.test import TestModel

from launchpad.errors import ConfigurationError
from launchpad.models import (
    AgentConfig,
    ModelProvider,
    aclose_clients,
    build_model,
    check_config,
    parse_model_name,
)
from launchpad.models.agents.agent import build_agent, structured_output
from launchpad.models.config import misspelt
from launchpad.models.provider import resolve
from launchpad.settings import Settings
from launchpad.testing.scripted_upstream import ScriptedUpstream
from launchpad.testing.steps import Status

P = ModelProvider
SETTINGS = Settings(model="openai:gpt-5.4-mini")
VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_ENDPOINT",
    "ANTHROPIC_API_KEY",
    "MISTRAL_API_KEY",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "OLLAMA_BASE_URL",
    "GROQ_API_KEY",
    "OPENROUTER_API_KEY",
    "LAUNCHPAD_LOCAL_MODEL_URL",
)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


class Out(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("local", (P.LOCAL, None)),
        ("openai:gpt-5.4-mini", (P.OPENAI, "gpt-5.4-mini")),
        ("openai-responses:gpt-5.4-mini", (P.OPENAI_RESPONSES, "gpt-5.4-mini")),
        ("bedrock:anthropic.claude:0", (P.BEDROCK, "anthropic.claude:0")),
        (" OLLAMA:qwen3:8b ", (P.OLLAMA, "qwen3:8b")),
    ],
)
def test_model_names(text: str, wanted: tuple[ModelProvider, str | None]) -> None:
    assert parse_model_name(text) == wanted


@pytest.mark.parametrize("text", ["gpt-5.4-mini", "openai:", "openai", "nowhere:x", ""])
def test_wrong_model_names(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PROVIDER:NAME|openai:NAME"):
        parse_model_name(text)


def test_the_default_model() -> None:
    found = resolve(AgentConfig(), SETTINGS)
    assert (found.model_provider, found.model_name) == (P.OPENAI, "gpt-5.4-mini")
    named = resolve(AgentConfig(model_name="gpt-x"), SETTINGS)
    assert (named.model_provider, named.model_name) == (P.OPENAI, "gpt-x")
    both = resolve(AgentConfig(model_provider=P.GROQ, model_name="y"), SETTINGS)
    assert (both.model_provider, both.model_name) == (P.GROQ, "y")


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (P.OPENAI, "OPENAI_API_KEY"),
        (P.OPENAI_RESPONSES, "OPENAI_API_KEY"),
        (P.OPENAI_COMPATIBLE, "base_url"),
        (P.AZURE_OPENAI, "AZURE_OPENAI_ENDPOINT"),
        (P.ANTHROPIC, "ANTHROPIC_API_KEY"),
        (P.OPENROUTER, "OPENROUTER_API_KEY"),
    ],
)
def test_what_is_missing_is_named(provider: ModelProvider, words: str) -> None:
    config = AgentConfig(model_provider=provider, model_name="x")
    for check in (check_config, build_model):
        with pytest.raises(ConfigurationError, match=words):
            check(config, SETTINGS)


@pytest.mark.parametrize(
    ("provider", "package", "extra"),
    [
        (P.MISTRAL, "mistralai", "mistral"),
        (P.GROQ, "groq", "groq"),
        (P.BEDROCK, "boto3", "bedrock"),
        (P.GOOGLE_GEMINI, "google.genai", "google"),
        (P.GOOGLE_VERTEX_AI, "google.genai", "google"),
    ],
)
def test_a_missing_extra_is_named(provider: ModelProvider, package: str, extra: str) -> None:
    try:
        installed = find_spec(package) is not None
    except ModuleNotFoundError:
        installed = False
    if installed:
        pytest.skip(f"{package} is installed")
    config = AgentConfig(model_provider=provider, model_name="x", api_key="k")
    with pytest.raises(ConfigurationError, match=rf"pydantic-ai-slim\[{extra}\]"):
        check_config(config, SETTINGS)


@pytest.mark.parametrize("provider", [one for one in P if one is not P.LOCAL])
def test_a_name_is_needed(provider: ModelProvider) -> None:
    with pytest.raises(ConfigurationError, match="model_name"):
        check_config(AgentConfig(model_provider=provider), SETTINGS)


def test_a_key_is_wanted_in_the_environment() -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY in the environment \(\.env is"):
        check_config(AgentConfig(model_provider=P.OPENAI, model_name="x"), SETTINGS)


def test_an_openai_base_url_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    config = AgentConfig(model_provider=P.OPENAI, model_name="x")
    check_config(config, SETTINGS)
    model = build_model(config, SETTINGS)
    assert model.base_url == "http://127.0.0.1:9/v1/"


@pytest.mark.parametrize(
    ("provider", "more"),
    [
        (P.OPENAI, {}),
        (P.OPENAI_RESPONSES, {}),
        (P.OPENAI_COMPATIBLE, {"base_url": "http://127.0.0.1:9/v1"}),
        (P.AZURE_OPENAI, {"base_url": "https://x.openai.azure.com/openai/v1"}),
        (P.ANTHROPIC, {}),
        (P.MISTRAL, {}),
        (P.GOOGLE_GEMINI, {}),
        (P.GROQ, {}),
        (P.OLLAMA, {}),
        (P.OPENROUTER, {}),
        (P.LOCAL, {}),
    ],
)
def test_every_provider_is_built_and_closed(provider: ModelProvider, more: dict[str, Any]) -> None:
    config = AgentConfig(model_provider=provider, model_name="meta/some-model", api_key="k", **more)
    try:
        check_config(config, SETTINGS)
    except ConfigurationError as missing:
        pytest.skip(str(missing))

    async def main() -> None:
        model = build_model(config, SETTINGS)
        assert model.model_name == "meta/some-model"
        assert build_model(replace(config, instructions="other"), SETTINGS) is model
        assert build_model(replace(config, model_name="meta/another"), SETTINGS) is not model

    asyncio.run(main())
    asyncio.run(main())


def test_an_sdk_does_not_ask_again_by_itself() -> None:
    pytest.importorskip("anthropic")

    async def ask(base_url: str) -> None:
        config = AgentConfig(
            model_provider=P.ANTHROPIC, model_name="x", api_key="k", base_url=base_url
        )
        asked: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart("Hi")])]
        with pytest.raises(ModelHTTPError):
            await build_model(config, SETTINGS).request(asked, None, ModelRequestParameters())

    with ScriptedUpstream() as upstream:
        upstream.script_all(Status(500))
        asyncio.run(ask(upstream.url))
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("name", "base_url", "system"),
    [
        ("gpt-5.4-mini", None, "openai"),
        ("fine-tuned", None, "openai"),
        ("gpt-5.4-mini", "http://127.0.0.1:9/v1", "openai"),
        ("our-own", "http://127.0.0.1:9/v1", "compatible"),
    ],
)
def test_another_servers_model_is_not_looked_up_among_openais(
    name: str, base_url: str | None, system: str
) -> None:
    config = AgentConfig(model_provider=P.OPENAI, model_name=name, base_url=base_url, api_key="k")
    assert build_model(config, SETTINGS).system == system


def test_agents_are_built_once_for_a_loop_and_a_config() -> None:
    def tool() -> str:
        return "x"

    def config(**changes: Any) -> AgentConfig:
        return AgentConfig(model_provider=P.OPENAI, model_name="x", api_key="k", **changes)

    async def main() -> Any:
        plain = build_agent(config(), streaming=True, name="A", settings=SETTINGS)
        assert build_agent(config(), streaming=True, name="A", settings=SETTINGS) is plain
        assert build_agent(config(), streaming=False, name="A", settings=SETTINGS) is not plain
        tools = build_agent(config(tools=[tool]), streaming=True, name="A", settings=SETTINGS)
        assert (
            build_agent(config(tools=[tool]), streaming=True, name="A", settings=SETTINGS) is tools
        )
        other = build_agent(
            config(tools=[tool], model_settings={"seed": 1}),
            streaming=True,
            name="A",
            settings=SETTINGS,
        )
        assert other is not tools
        await aclose_clients()
        assert build_agent(config(), streaming=True, name="A", settings=SETTINGS) is not plain
        return plain

    assert asyncio.run(main()) is not asyncio.run(main())


def test_a_model_type_becomes_native_output_where_the_model_can() -> None:
    def output(wanted: Any, provider: ModelProvider = P.OPENAI) -> Any:
        config = AgentConfig(
            model_provider=provider, model_name="gpt-5.4-mini", api_key="k", output_type=wanted
        )
        return structured_output(config, build_model(config, SETTINGS))

    assert isinstance(output(Out), NativeOutput)
    assert isinstance(output(Out, P.LOCAL), NativeOutput)
    for kept in (str, ToolOutput(Out), PromptedOutput(Out), NativeOutput(Out), [Out, str]):
        assert output(kept) is kept
    cannot = AgentConfig(
        model_provider=P.OLLAMA, model_name="x-cloud", api_key="k", output_type=Out
    )
    assert structured_output(cannot, build_model(cannot, SETTINGS)) is Out


def tool() -> str:
    return "x"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model_provider": "opnai"}, r"model_provider is the str 'opnai'.*: openai, .*, local\."),
    ({"tools": tool}, r"tools is tool, not a list; write tools=\[tool\]"),
    ({"tools": None}, "tools is None, not a list"),
    ({"tools": ["x"]}, "tools holds the str 'x'; give functions"),
    ({"output_type": "int"}, "output_type is the str 'int'; write the type itself"),
    ({"output_type": [str, "int"]}, "output_type holds the str 'int'"),
    ({"retry": 3}, r"write retry=RetryPolicy\(attempts=3\)"),
    ({"fallbacks": "gpt-4o"}, r"fallbacks is the str 'gpt-4o', not a list.*\['gpt-4o'\]"),
    ({"fallbacks": [3]}, "fallbacks holds a value of type int"),
    ({"instructions": 3}, "instructions is a value of type int; give a str"),
    ({"instructions": ["a", 3]}, "give a str, a function, or a list of these"),
    ({"system_prompt": 3}, "system_prompt is a value of type int; give a str"),
    ({"model_name": 4}, "model_name is a value of type int; give the model's name"),
    ({"model_settings": "hot"}, "model_settings is the str 'hot'; give a mapping"),
    ({"retries": "3"}, "retries is the str '3'; give a number"),
    ({"output_type": None}, "output_type is None; leave it out for text"),
    ({"output_type": {"a": str}}, "output_type is a dict; derive a class"),
    ({"output_type": Out(name="x")}, "output_type is an instance of Out; write the class, Out"),
    ({"output_type": [str, Out(name="x")]}, "output_type holds an instance of Out"),
]


@pytest.mark.parametrize(("fields", "words"), WRONG)
def test_a_config_of_wrong_types_says_what_to_write(fields: dict[str, Any], words: str) -> None:
    given = {"model_provider": P.OPENAI, "model_name": "x", "api_key": "k", **fields}
    with pytest.raises(ConfigurationError, match=words):
        build_agent(AgentConfig(**given), streaming=True, settings=SETTINGS)


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"system_prompt": None, "retries": None}, []),
        ({"system_prompt": lambda: "Be brief."}, ["Be brief."]),
        ({"system_prompt": ["Be brief.", lambda: "Be kind."]}, ["Be brief.", "Be kind."]),
    ],
)
def test_a_prompt_may_be_a_function_or_none(fields: dict[str, Any], sent: list[str]) -> None:
    given = {"model_provider": P.OPENAI, "model_name": "x", "api_key": "k", **fields}
    agent = build_agent(AgentConfig(**given), streaming=True, settings=SETTINGS)
    said = asyncio.run(agent.run("Hello", model=TestModel())).all_messages()[0]
    assert isinstance(said, ModelRequest)
    assert (said.instructions or "").split("\n\n") == (sent or [""])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AgentConfig(model="gpt-4o"), "no field 'model'; did you mean model_name?"),  # type: ignore[call-arg]
        (lambda: AgentConfig(modelname="x"), "no field 'modelname'; did you mean model_name?"),  # type: ignore[call-arg]
        (lambda: AgentConfig(zzz=1), "no field 'zzz'; it has model_provider, model_name, "),  # type: ignore[call-arg]
        (lambda: AgentConfig(P.OPENAI), "takes its fields by name"),  # type: ignore[call-arg]
    ],
)
def test_a_misspelt_field_is_told_with_the_one_that_was_meant(make: Any, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert words in misspelt(str(caught.value))


def test_a_provider_may_be_given_by_its_value() -> None:
    given: Any = "OpenAI"
    config = AgentConfig(model_provider=given, model_name="x")
    assert config.model_provider is P.OPENAI
    assert config == AgentConfig(model_provider=P.OPENAI, model_name="x")
    with pytest.raises(ConfigurationError, match="Models of openai need a key"):
        check_config(config, SETTINGS)


def test_the_local_model_always_has_a_limit() -> None:
    settings = Settings(model="local", local_max_tokens=77)
    model = build_model(AgentConfig(), settings)
    assert model.settings == {"max_tokens": 77}
    assert model.profile.get("default_structured_output_mode") == "native"


def test_importing_models_imports_no_sdk() -> None:
    script = (
        "import sys, launchpad.models; "
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'aiohttp') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
