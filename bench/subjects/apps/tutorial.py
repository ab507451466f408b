"""A tutorial's streaming endpoint: the OpenAI SDK behind FastAPI's StreamingResponse.

Our own code after document 002's shape. As there, each token becomes one JSON event; unlike there
the client is the SDK's asynchronous one, because the synchronous one blocks the event loop: with it
(`sync` as second argument) a second stream waits for the first. Args: its port, `async` or `sync`.
"""

from __future__ import annotations

import json
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

app = FastAPI()
async_client = AsyncOpenAI()
sync_client = OpenAI()
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Question(BaseModel):
    message: str
    system_prompt: str = "You are a helpful assistant."

    def request(self) -> dict[str, object]:
        messages = [
            {"role": "system", "content": self.system_prompt},
            {"role": "user", "content": self.message},
        ]
        return {"model": "bench", "messages": messages, "stream": True, "max_tokens": 500}


def token_event(text: str, *, done: bool = False) -> str:
    return f"data: {json.dumps({'token': text, 'done': done})}\n\n"


async def tokens(question: Question):
    stream = await async_client.chat.completions.create(**question.request())
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield token_event(chunk.choices[0].delta.content)
    yield token_event("", done=True)


async def blocking_tokens(question: Question):
    for chunk in sync_client.chat.completions.create(**question.request()):
        if chunk.choices and chunk.choices[0].delta.content:
            yield token_event(chunk.choices[0].delta.content)
    yield token_event("", done=True)


generate = blocking_tokens if sys.argv[2] == "sync" else tokens


@app.post("/chat/stream")
async def stream_chat(question: Question) -> StreamingResponse:
    return StreamingResponse(generate(question), media_type="text/event-stream", headers=HEADERS)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning", backlog=8192)
