"""Retries and fallbacks: they act before the first content, never after it.

A model is asked again by `RetryingModel`; from one model to the next goes pydantic-ai's own
`FallbackModel`, which also waits for the first event before it hands an answer over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel

from launchpad.errors import UpstreamError
from launchpad.models.config import AgentConfig, RetryPolicy
from launchpad.models.live.responses import WrappedResponse
from launchpad.models.loops import Memo, loop_scope
from launchpad.models.provider import build_model, fallbacks_of, model_settings_key
from launchpad.models.scope import spent_here
from launchpad.models.upstream_errors import as_upstream_error
from launchpad.observe import tracing
from launchpad.observe.metrics import metrics
from launchpad.settings import Settings

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent

__all__ = ["RetryingModel", "resilient"]

logger = logging.getLogger("launchpad.models")

_MODELS = "resilient models"
_ONCE = RetryPolicy(attempts=1)
_FOR_THE_OPERATOR = frozenset(
    {"upstream_authentication", "upstream_quota_exceeded", "upstream_model_not_found"}
)
"""Asking again changes nothing about these; another model may still answer."""


def resilient(config: AgentConfig, settings: Settings) -> Model:
    """The model of a resolved config with its retries and fallbacks around it."""

    def build() -> Model:
        candidates = [_retrying(config, settings, fallback=False)]
        candidates += [_retrying(one, settings, fallback=True) for one in fallbacks_of(config)]
        if len(candidates) == 1:
            return candidates[0]
        return FallbackModel(*candidates, fallback_on=_falls_back)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return build()
    memo: Memo[Model] = loop_scope().memo(_MODELS)
    return memo.get((config, *model_settings_key(settings)), build)


def _retrying(config: AgentConfig, settings: Settings, *, fallback: bool) -> Model:
    model = build_model(replace(config, retry=None, fallbacks=()), settings)
    if config.retry is None and not fallback:
        return model
    provider = config.model_provider
    name = provider.value if provider is not None else model.system
    return RetryingModel(model, config.retry or _ONCE, name, fallback=fallback)


def _falls_back(error: Exception) -> bool:
    """Whether another model may do better: not with a request that was wrong itself."""
    found = as_upstream_error(error)
    return found is not None and found.status != 400


class RetryingModel(WrapperModel):
    """Asks the wrapped model again as `policy` says, until its first content is there.

    `provider` names it in metrics, logs and traces; `fallback`: it stands in for another one.
    """

    def __init__(
        self, wrapped: Model, policy: RetryPolicy, provider: str, *, fallback: bool = False
    ) -> None:
        super().__init__(wrapped)
        self._policy = policy
        self._label = provider
        self._fallback = fallback

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """A request whose answer comes whole: nobody has seen anything of one that failed."""
        self._note_fallback()
        attempt = 1
        while True:
            try:
                return await self.wrapped.request(
                    messages, model_settings, model_request_parameters
                )
            except Exception as error:
                wait = self._wait(error, attempt)
                if wait is None:
                    raise
            await asyncio.sleep(wait)
            attempt += 1

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """An answer that has begun."""
        self._note_fallback()
        attempt = 1
        while True:
            async with AsyncExitStack() as stack:
                try:
                    response = await stack.enter_async_context(
                        self.wrapped.request_stream(
                            messages, model_settings, model_request_parameters, run_context
                        )
                    )
                    begun = _Begun(response)
                    await begun.begin()
                except Exception as error:
                    wait = self._wait(error, attempt)
                    if wait is None:
                        raise
                else:
                    yield begun
                    return
            await asyncio.sleep(wait)
            attempt += 1

    def _note_fallback(self) -> None:
        if self._fallback:
            metrics.fallback(self._label)
            if (spent := spent_here.get()) is not None:
                # Where all fail, the last one's failure is told.
                spent.provider = self._label
            tracing.note("launchpad.fallback", provider=self._label, model=self.model_name)
            logger.warning("falling back to %s:%s", self._label, self.model_name)

    def _wait(self, error: Exception, attempt: int) -> float | None:
        """Seconds until the next attempt; None where there is to be none."""
        found = as_upstream_error(error)
        if found is None or attempt >= self._policy.attempts:
            return None
        wait = _pause(found, self._policy, attempt)
        if wait is not None:
            metrics.retry(self._label)
            code = found.code or "upstream_error"
            tracing.note("launchpad.retry", attempt=attempt, code=code, wait=wait)
            logger.warning(
                "%s:%s failed (%s); asked again in %.2f s (attempt %d of %d)",
                self._label,
                self.model_name,
                code,
                wait,
                attempt + 1,
                self._policy.attempts,
            )
        return wait


def _pause(failure: UpstreamError, policy: RetryPolicy, attempt: int) -> float | None:
    if failure.status == 400 or failure.code in _FOR_THE_OPERATOR:
        return None
    if failure.retry_after is not None:
        return failure.retry_after if failure.retry_after <= policy.max_retry_after else None
    whole = min(policy.backoff * 2 ** (attempt - 1), policy.max_backoff)
    # So that those who failed together do not come back together.
    return float(whole * random.uniform(0.75, 1.0))  # noqa: S311  (no secret)


class _Begun(WrappedResponse):
    """A response whose first event is there, to be given again."""

    def __init__(self, inner: StreamedResponse) -> None:
        super().__init__(inner)
        self._first: list[ModelResponseStreamEvent] = []
        self._rest = aiter(inner)

    async def begin(self) -> None:
        """Wait for the first event. Raises what the upstream's failure raises."""
        async for event in self._rest:
            self._first.append(event)
            return

    async def _events(self) -> AsyncIterator[ModelResponseStreamEvent]:
        while self._first:
            yield self._first.pop(0)
        async for event in self._rest:
            yield event
