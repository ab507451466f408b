// eventsource-parser on fetch's body, whole and byte by byte.
import { createParser } from "eventsource-parser";
import { EventSourceParserStream } from "eventsource-parser/stream";

const ask = (baseURL, content) =>
  fetch(`${baseURL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "chat",
      stream: true,
      messages: [{ role: "user", content }],
    }),
  });

const join = (payloads) => {
  if (payloads.pop() !== "[DONE]") throw new Error("the stream has no [DONE]");
  return payloads.map((data) => JSON.parse(data).choices[0].delta.content ?? "").join("");
};

export async function text({ baseURL, awkward }) {
  const response = await ask(baseURL, awkward);
  const payloads = [];
  for await (const event of response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())) {
    payloads.push(event.data);
  }
  return join(payloads);
}

export async function byteByByte({ baseURL, awkward }) {
  const response = await ask(baseURL, awkward);
  const payloads = [];
  const parser = createParser({ onEvent: (event) => payloads.push(event.data) });
  const decoder = new TextDecoder();
  for (const byte of new Uint8Array(await response.arrayBuffer())) {
    parser.feed(decoder.decode(Uint8Array.of(byte), { stream: true }));
  }
  return join(payloads);
}

export async function heartbeats({ beatingURL }) {
  const response = await ask(beatingURL, "!pace 0.05\none two three");
  const payloads = [];
  let comments = 0;
  const parser = createParser({
    onEvent: (event) => payloads.push(event.data),
    onComment: () => (comments += 1),
  });
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text);
  return { text: join(payloads), comments };
}
