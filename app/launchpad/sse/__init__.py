"""The SSE protocol (https://html.spec.whatwg.org/multipage/server-sent-events.html) over ASGI.

Knows bytes and sockets, and no Launchpad event.
"""
