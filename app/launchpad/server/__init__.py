"""uvicorn's server and HTTP protocol, with what streams need: it drains, resets, writes at once."""
