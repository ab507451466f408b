"""The request's body, over a real socket."""

from __future__ import annotations

import gzip
import json
import socket

import httpx
import pytest

from .conftest import chat

PATH = "/v1/chat/completions"


def post(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    return client.post(PATH, content=body, headers={"content-type": "application/json", **headers})


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    words: str = answer.json()["choices"][0]["message"]["content"]
    return words.strip()


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        (r"a\ud83d", "a\ufffd"),
        (r"a\uDE00b", "a\ufffdb"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (r"\\\ud83d\"", '\\\ufffd"'),
        (r"\ud83d\ude00", "😀"),
    ],
)
def test_half_a_surrogate_pair_is_a_replacement_character(
    client: httpx.Client, text: str, heard: str
) -> None:
    body = json.dumps(chat("WORDS")).replace("WORDS", text).encode()
    assert said(post(client, body)) == heard


@pytest.mark.parametrize(
    "body", [b'{"model": "\\ud83d', b'{"model": "\\ud83"}', b"\\ud83d", b'"\\']
)
def test_other_broken_json_stays_broken(client: httpx.Client, body: bytes) -> None:
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"


def test_json_that_is_nested_too_deeply_is_told_so(client: httpx.Client) -> None:
    levels = 500_000
    error = post(client, b'{"a":' + b"[" * levels + b"]" * levels + b"}").json()["error"]
    assert error["message"] == "The body is nested too deeply; send JSON with fewer levels."
    assert error["code"] == "invalid_json"


def test_a_byte_order_mark_is_skipped(client: httpx.Client) -> None:
    assert said(post(client, b"\xef\xbb\xbf" + json.dumps(chat("hi")).encode())) == "hi"


@pytest.mark.parametrize("path", [PATH, "/chat/stream"])
def test_a_body_that_waits_to_be_asked_for_is_refused_unsent(
    client: httpx.Client, path: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: "
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=10) as wire:
        wire.sendall(f"{head}{2**30}\r\n\r\n".encode())
        assert wire.recv(4096).startswith(b"HTTP/1.1 413 ")
    body = json.dumps({**chat("hi"), "message": "hi"}).encode()
    with socket.create_connection(address, timeout=10) as wire:
        wire.sendall(f"{head}{len(body)}\r\n\r\n".encode())
        assert wire.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(body)
        assert b" 200 OK\r\n" in wire.recv(4096)


@pytest.mark.parametrize("path", [PATH, "/chat/stream"])
def test_a_compressed_body_is_refused_in_clear_words(client: httpx.Client, path: str) -> None:
    body = gzip.compress(json.dumps(chat("x" * 1000)).encode())
    answer = client.post(path, content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 415
    error = answer.json()["error"]
    assert error["code"] == "unsupported_media_type"
    assert "Content-Encoding is 'gzip'" in error["message"]
    assert answer.headers["accept-encoding"] == "identity"


def test_an_identity_encoding_is_none(client: httpx.Client) -> None:
    body = json.dumps(chat("hi")).encode()
    assert said(post(client, body, **{"content-encoding": "Identity"})) == "hi"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'"x"', "a JSON string"),
        (b"7", "a JSON number"),
        (b"7.5", "a JSON number"),
        (b"true", "a JSON boolean"),
        (b"[]", "a JSON array"),
        (b"null", "null"),
    ],
)
def test_another_kind_of_json_is_told_in_json_s_words(
    client: httpx.Client, body: bytes, kind: str
) -> None:
    answer = post(client, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"The body is {kind}; send a JSON object."
