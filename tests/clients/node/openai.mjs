// openai-node, as its documentation uses it.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};
const Person = z.object({ name: z.string(), age: z.number().int() });
const JOHN = '{"name": "John Doe", "age": 30}';

const connect = ({ baseURL, apiKey = "any" }) => new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const user = (content) => [{ role: "user", content }];

export async function models(facts) {
  const ids = [];
  for await (const model of connect(facts).models.list()) ids.push(model.id);
  return ids;
}

export async function answer(facts) {
  return await connect(facts).chat.completions.create({
    model: "gpt-4o",
    messages: user("one two three"),
  });
}

export async function stream(facts) {
  const chunks = [];
  for await (const chunk of await connect(facts).chat.completions.create({
    model: "gpt-4o",
    messages: user("one two three"),
    stream: true,
    stream_options: { include_usage: true },
  })) {
    chunks.push(chunk);
  }
  return chunks;
}

export async function choices(facts) {
  const completion = await connect(facts).chat.completions.create({
    model: "gpt-4o",
    messages: user("!words 3"),
    n: 2,
  });
  return completion.choices.map((choice) => [choice.index, choice.message.content]);
}

export async function streamHelper(facts) {
  const deltas = [];
  const runner = connect(facts).chat.completions.stream({
    model: "gpt-4o",
    messages: user("one two three"),
  });
  runner.on("content", (delta) => deltas.push(delta));
  const final = await runner.finalChatCompletion();
  return { deltas, message: final.choices[0].message, reason: final.choices[0].finish_reason };
}

export async function parse(facts) {
  const completion = await connect(facts).chat.completions.parse({
    model: "gpt-4o",
    messages: user(`This is ${JOHN}.`),
    response_format: zodResponseFormat(Person, "person"),
  });
  return completion.choices[0].message.parsed;
}

export async function parseWhileStreaming(facts) {
  const completion = await connect(facts)
    .chat.completions.stream({
      model: "gpt-4o",
      messages: user(`This is ${JOHN}.`),
      response_format: zodResponseFormat(Person, "person"),
    })
    .finalChatCompletion();
  return completion.choices[0].message.parsed;
}

export async function runTools(facts) {
  const asked = [];
  const runner = connect(facts).chat.completions.runTools({
    model: "gpt-4o",
    stream: true,
    messages: user('!call get_weather {"city": "Paris"}\nWhat is the weather?'),
    tools: [
      {
        type: "function",
        function: {
          ...WEATHER.function,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city);
            return `sunny in ${city}`;
          },
        },
      },
    ],
  });
  return { said: await runner.finalContent(), asked };
}

export async function toolDeltas(facts) {
  const calls = [];
  let reason = null;
  for await (const chunk of await connect(facts).chat.completions.create({
    model: "gpt-4o",
    stream: true,
    messages: user('!call get_weather {"city": "Paris"}\n!call get_weather {"city": "Rome"}'),
    tools: [WEATHER],
  })) {
    reason = chunk.choices[0].finish_reason ?? reason;
    for (const piece of chunk.choices[0].delta.tool_calls ?? []) {
      calls[piece.index] ??= { id: "", name: "", arguments: "" };
      calls[piece.index].id += piece.id ?? "";
      calls[piece.index].name += piece.function?.name ?? "";
      calls[piece.index].arguments += piece.function?.arguments ?? "";
    }
  }
  return { calls, reason };
}

export async function abort(facts) {
  const said = [];
  const stream = await connect(facts).chat.completions.create({
    model: "gpt-4o",
    stream: true,
    messages: user("!hang 2\nhello my dear friend"),
  });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) said.push(chunk.choices[0].delta.content);
    if (said.length) stream.controller.abort();
  }
  return said.join("");
}

export async function errors(facts) {
  const client = connect(facts);
  const told = {};
  for (const [name, request] of Object.entries({
    missing: { model: "gpt-9", messages: user("Hi") },
    empty: { model: "chat", messages: [] },
    limited: { model: "chat", messages: user("!status 429") },
    limitedWhileStreaming: { model: "chat", messages: user("!status 429"), stream: true },
    broken: { model: "chat", messages: user("!status 500") },
  })) {
    try {
      await client.chat.completions.create(request);
      told[name] = null;
    } catch (error) {
      told[name] = [error.constructor.name, error.status, error.code ?? null];
    }
  }
  try {
    await connect({ baseURL: facts.lockedURL, apiKey: "wrong" }).models.list();
  } catch (error) {
    told.key = [error.constructor.name, error.status, error.code ?? null];
  }
  return told;
}

export async function errorInMidStream(facts) {
  let said = "";
  try {
    for await (const chunk of await connect(facts).chat.completions.create({
      model: "chat",
      stream: true,
      messages: user("!die 2\nhello my dear friend"),
    })) {
      said += chunk.choices[0].delta.content ?? "";
    }
  } catch (error) {
    return { said, error: error instanceof OpenAI.APIError, message: error.message };
  }
  return { said, error: false };
}

// Document 003's JavaScript, its elided messages filled in.
export async function document003(facts) {
  const openai = connect(facts);
  const seen = [];
  const completion = await openai.chat.completions.create({
    model: "gpt-4o",
    metadata: { agent_id: "my-agent" },
    messages: user(`!pace 0.005\nExtract the user: ${JOHN}`),
    response_format: { type: "json_object" }, // or "json_schema"
    stream: true,
    stream_options: {
      //@ts-expect-error - valid_json_chunks is not supported by OpenAI
      valid_json_chunks: true,
    },
  });
  for await (const chunk of completion) {
    if (chunk.choices[0].delta.content) {
      seen.push(JSON.parse(chunk.choices[0].delta.content));
    }
  }
  return seen;
}
