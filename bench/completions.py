"""The bytes of the bench's completions: the same for the upstream, the stages and the tests."""

from __future__ import annotations

import json

__all__ = [
    "HEAD",
    "JSON_CUT",
    "MARK",
    "ROLE",
    "STAMP_DIGITS",
    "chunk",
    "document",
    "end",
    "event",
    "json_answer",
    "json_deltas",
    "plain_answer",
]

MARK = b"~"
"""Once in every token's text."""
STAMP_DIGITS = 16
JSON_CUT = 4
"""Characters in a delta of a JSON document."""

_EVENT_HEAD = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","system_fingerprint":"fp_bench","choices":[{"index":0,"delta":'
)
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"bench","system_fingerprint":"fp_bench","choices":[],"usage":'
    b'{"prompt_tokens":10,"completion_tokens":500,"total_tokens":510}}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_LAST = b"0\r\n\r\n"


def event(delta: bytes, finish: bytes = b"null") -> bytes:
    """One SSE event of a chat completion: `delta` is JSON text."""
    return _EVENT_HEAD + delta + b',"logprobs":null,"finish_reason":' + finish + b"}]}\n\n"


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


ROLE = chunk(event(b'{"role":"assistant","content":""}'))
_STOP = chunk(event(b"{}", b'"stop"'))


def end(usage: bool) -> bytes:
    """All that follows the last token, with the counts if they were asked for."""
    return _STOP + (chunk(_USAGE) if usage else b"") + chunk(_DONE) + _LAST


def document(size: int) -> str:
    """A JSON document of about `size` bytes: two strings and a list of small objects."""
    items: list[dict[str, object]] = []
    result = {"thinking": 'Let me "see": a b\n', "items": items, "reply": "It is ready. "}
    length = len(json.dumps(result))
    while length < size * 0.7:
        items.append({"title": f"Step {len(items)} of it", "score": len(items) * 1.5, "done": True})
        length += len(json.dumps(items[-1])) + 2
    result["reply"] = "It is ready. " + "And so on, é. " * max(0, (size - length) // 15)
    return json.dumps(result, ensure_ascii=False)


def json_deltas(size: int) -> list[str]:
    """That document as an upstream would stream it."""
    text = document(size)
    return [text[start : start + JSON_CUT] for start in range(0, len(text), JSON_CUT)]


def json_answer(body: bytes) -> bytes:
    """A whole HTTP answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def plain_answer() -> bytes:
    """A completion that is not streamed."""
    return json_answer(
        b'{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench",'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":" tok~"},'
        b'"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}'
    )
