// A few words each from the real model; what it says is not looked at.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";
import { EventSourceParserStream } from "eventsource-parser/stream";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Say hello." }];

export async function openai({ baseURL }) {
  const client = new OpenAI({ baseURL, apiKey: "any" });
  const deltas = [];
  for await (const chunk of await client.chat.completions.create({
    model: "gpt-4o",
    messages,
    max_tokens: 12,
    stream: true,
  })) {
    deltas.push(chunk.choices[0].delta.content ?? "");
  }
  return deltas;
}

export async function aiSdk({ baseURL }) {
  const provider = createOpenAICompatible({ name: "launchpad", baseURL });
  const deltas = [];
  const result = streamText({ model: provider("gpt-4o"), messages, maxOutputTokens: 12 });
  for await (const delta of result.textStream) deltas.push(delta);
  return deltas;
}

export async function eventsourceParser({ baseURL }) {
  const response = await fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", messages, max_tokens: 12, stream: true }),
  });
  const events = [];
  for await (const event of response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())) {
    events.push(event.data);
  }
  return events;
}
