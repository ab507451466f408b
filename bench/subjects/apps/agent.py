"""A plain pydantic-ai agent behind FastAPI: `run_stream`, one SSE event a delta. Args: its port."""

from __future__ import annotations

import json
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

app = FastAPI()
agent = Agent(OpenAIChatModel("bench"))


class Question(BaseModel):
    message: str


async def tokens(question: Question):
    async with agent.run_stream(question.message) as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            yield f"data: {json.dumps({'token': text, 'done': False})}\n\n"
    yield f"data: {json.dumps({'token': '', 'done': True})}\n\n"


@app.post("/chat/stream")
async def stream_chat(question: Question) -> StreamingResponse:
    return StreamingResponse(tokens(question), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning", backlog=8192)
