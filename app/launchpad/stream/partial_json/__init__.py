"""Partial JSON: valid JSON at every moment of a document that is still being written.

Text deltas become snapshots in `lexer`, which reads with `finder` (where in the text a document
is) and `document` (its grammar, over `strings` and `prefix`). `operators` does that to the events
of a run, with a `speaker` a node and a `pacer` a document. `escape` is for encoders: snapshots as
the inside of a JSON string. `around` leaves fences and prose out of an answer that streams as it is
written.
"""
