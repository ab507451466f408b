"""Hayhooks: one OpenAI chat generator in a pipeline, streamed by its asynchronous generator."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from hayhooks import BasePipelineWrapper, async_streaming_generator
from haystack import Pipeline
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage


class PipelineWrapper(BasePipelineWrapper):
    def setup(self) -> None:
        self.pipeline = Pipeline()
        self.pipeline.add_component("llm", OpenAIChatGenerator(model="bench"))

    async def run_chat_completion_async(
        self, model: str, messages: list[dict], body: dict
    ) -> AsyncGenerator:
        chat = [ChatMessage.from_user(message["content"]) for message in messages]
        return async_streaming_generator(
            pipeline=self.pipeline, pipeline_run_args={"llm": {"messages": chat}}
        )
