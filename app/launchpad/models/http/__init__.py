"""Our HTTP/1.1 client for model upstreams: POST a body, read the answer as it comes.

    client ──► pool ──► dial (addresses, proxies, TLS)
       │         │
       └─────────┴────► connection (one socket, one answer at a time)

It does what streams of small chunks need and no more: one socket read hands over all the body
bytes in it at once, a reader that is behind stops the socket, and closing is immediate. Redirects
are not followed, and there are no cookies.
"""
