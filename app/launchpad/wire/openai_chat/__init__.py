"""OpenAI's chat completions, request and response, streamed and not.

Source of the rules: https://platform.openai.com/docs/api-reference/chat, and what the clients
made for it do.
"""
