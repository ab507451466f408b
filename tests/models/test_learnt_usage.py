"""Learnt token counts are those that pydantic-ai makes, whatever came before."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic_ai.models.openai._response_fields import map_usage
from pydantic_ai.usage import RequestUsage

from launchpad.models.openai_compatible.learnt_usage import LearntUsage

PROVIDERS = {
    "openai": "https://api.openai.com/v1",
    "x-ai": "https://api.x.ai/v1",
    "deepseek": "https://api.deepseek.com",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "compatible": "http://127.0.0.1:9/v1",
}
COUNT = st.sampled_from([0, 1, 2, 3, 4, 5])  # few, so that sums meet other counts
DETAILS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("cached_tokens", "audio_tokens", "reasoning_tokens"), COUNT)
)
USAGES = st.fixed_dictionaries(
    {
        "prompt_tokens": st.one_of(COUNT, st.just(-1)),
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
    },
    optional={
        "prompt_tokens_details": DETAILS,
        "completion_tokens_details": DETAILS,
        "prompt_cache_hit_tokens": COUNT,
        "queue_time": st.just(0.5),
    },
)


def mapped(provider: str, usage: dict[str, Any]) -> RequestUsage:
    around = {"id": "i", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunk = ChatCompletionChunk.model_validate({**around, "choices": [], "usage": usage})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be extracted is zeros
        return map_usage(chunk, provider, PROVIDERS[provider], "m")


@settings(max_examples=300, deadline=None)
@given(provider=st.sampled_from(sorted(PROVIDERS)), usages=st.lists(USAGES, min_size=2, max_size=8))
def test_what_is_learnt_is_what_is_mapped(provider: str, usages: list[dict[str, Any]]) -> None:
    learnt = LearntUsage()
    for usage in usages:
        made = mapped(provider, usage)
        found = learnt.of("m", usage)
        assert found is None or vars(found) == vars(made)
        learnt.learn("m", usage, made)


def counts(prompt: int, completion: int, reasoning: int = 0) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion + reasoning,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def test_a_sum_that_equals_another_count_is_not_taken_for_it() -> None:
    learnt = LearntUsage()
    first = counts(400, 90, 310)
    made = mapped("x-ai", first)
    assert made.output_tokens == made.input_tokens == 400
    learnt.learn("m", first, made)
    assert learnt.of("m", counts(20, 5, 300)) is None


@pytest.mark.parametrize("provider", ["openai", "compatible"])
@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"completion_tokens_details": {"reasoning_tokens": 0}},
        {"completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 2}},
        {"prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0}},
        {"prompt_tokens_details": None, "queue_tokens": 5, "queue_time": 0.1},
    ],
)
def test_plain_counts_are_learnt_at_once(provider: str, beside: dict[str, Any]) -> None:
    learnt = LearntUsage()
    first, later = counts(3, 3, 2) | beside, counts(30, 9, 4) | beside
    learnt.learn("m", first, mapped(provider, first))
    found = learnt.of("m", later)
    assert found is not None
    assert vars(found) == vars(mapped(provider, later))


@pytest.mark.parametrize("odd", [0.5, "1", -1, True, [1]])
def test_details_that_are_no_counts_are_not_learnt(odd: object) -> None:
    learnt = LearntUsage()
    given = counts(3, 3) | {"completion_tokens_details": {"reasoning_tokens": 1, "cost": odd}}
    learnt.learn("m", given, RequestUsage(input_tokens=3, output_tokens=3))
    assert learnt.of("m", given) is None


def test_with_other_prices_it_is_learnt_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = LearntUsage()
    learnt.learn("m", counts(3, 3), mapped("openai", counts(3, 3)))
    assert learnt.of("m", counts(4, 4)) is not None
    other = object()
    monkeypatch.setattr(
        "launchpad.models.openai_compatible.learnt_usage.get_snapshot", lambda: other
    )
    assert learnt.of("m", counts(4, 4)) is None
    learnt.learn("m", counts(3, 3), mapped("openai", counts(3, 3)))
    assert learnt.of("m", counts(4, 4)) is not None
