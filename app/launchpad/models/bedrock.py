"""Bedrock's models: boto3 waits in threads, and asks again by itself unless told not to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from os import environ
from typing import TYPE_CHECKING, Any

from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.bedrock import BedrockProvider

from launchpad.errors import MissingConfigurationError

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse

    from launchpad.models.config import AgentConfig
    from launchpad.settings import Settings

__all__ = ["build"]


def build(config: AgentConfig, settings: Settings) -> Model:
    """The model that `config` names. Credentials and region come from where boto3 looks for them.

    Raises `MissingConfigurationError` where no region is set, `ImportError` without boto3.
    """
    provider = BedrockProvider(bedrock_client=_client(config, settings))
    return _ThreadEach(BedrockConverseModel(config.model_name or "", provider=provider))


def _client(config: AgentConfig, settings: Settings) -> Any:
    """boto3's client as pydantic-ai makes it, but that it asks once and keeps its connections.

    It would ask up to five times, where `AgentConfig.retry` is to say how often, and close all but
    ten connections after each answer, with a warning for each.
    """
    boto3 = import_module("boto3")
    ours = settings.first_token_timeout + settings.stall_timeout
    key = config.api_key or environ.get("AWS_BEARER_TOKEN_BEDROCK")
    options = import_module("botocore.config").Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=settings.max_concurrent_runs,
        connect_timeout=float(environ.get("AWS_CONNECT_TIMEOUT") or settings.connect_timeout),
        read_timeout=float(environ.get("AWS_READ_TIMEOUT") or max(_READ_TIMEOUT, ours)),
        signature_version="bearer" if key else None,
    )
    session = boto3.Session(botocore_session=_session_of(key) if key else None)
    try:
        return session.client("bedrock-runtime", endpoint_url=config.base_url, config=options)
    except import_module("botocore.exceptions").NoRegionError as error:
        raise MissingConfigurationError(
            "Models of bedrock need a region: set AWS_DEFAULT_REGION in the environment."
        ) from error


_READ_TIMEOUT = 300.0
"""Seconds, as pydantic-ai has them; ours end a wait before."""


def _session_of(key: str) -> Any:
    """A session that knows an API key and looks for no other credentials."""
    session = import_module("botocore.session").Session()
    token = import_module("botocore.tokens").FrozenAuthToken(key)

    def get_auth_token(**_: object) -> object:
        return token

    session.get_auth_token = get_auth_token
    session.get_credentials = lambda: None
    return session


class _ThreadEach(WrapperModel):
    """A model whose every request has a thread to wait in.

    Those of the loop are 40, for all that runs in them: with as many answers open, no other would
    begin, or go on, until one of them ended.
    """

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """As the wrapped model's."""
        with _one_thread_more():
            return await self.wrapped.request(messages, model_settings, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As the wrapped model's."""
        with _one_thread_more():
            async with self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as response:
                yield response


@contextmanager
def _one_thread_more() -> Generator[None]:
    from anyio.to_thread import current_default_thread_limiter

    limiter = current_default_thread_limiter()
    limiter.total_tokens += 1
    try:
        yield
    finally:
        limiter.total_tokens -= 1
