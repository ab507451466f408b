// The AI SDK with its provider for OpenAI-compatible servers, as its documentation uses them.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  generateObject,
  generateText,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;

const JOHN = '{"name": "John Doe", "age": 30}';
const Person = z.object({ name: z.string(), age: z.number().int() });

const model = ({ baseURL }, settings = {}) =>
  createOpenAICompatible({
    name: "launchpad",
    baseURL,
    apiKey: "any",
    includeUsage: true,
    supportsStructuredOutputs: true,
    ...settings,
  })("gpt-4o");

const weather = (asked) =>
  tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return `sunny in ${city}`;
    },
  });

export async function text(facts) {
  const { text, usage, finishReason } = await generateText({
    model: model(facts),
    prompt: "one two three",
  });
  return { text, usage, finishReason };
}

export async function stream(facts) {
  const result = streamText({ model: model(facts), prompt: "!pace 0.002\none two three" });
  const deltas = [];
  for await (const delta of result.textStream) deltas.push(delta);
  return { deltas, usage: await result.usage, reason: await result.finishReason };
}

export async function reasoning(facts) {
  const result = streamText({
    model: model(facts),
    prompt: "!reason let me think\n!say Fine, thanks.",
  });
  const text = await result.text;
  return { text, reasoning: await result.reasoningText };
}

export async function cutByLength(facts) {
  const result = streamText({
    model: model(facts),
    prompt: "one two three four",
    maxOutputTokens: 2,
    stopSequences: ["never"],
    temperature: 0.5,
  });
  return { text: await result.text, reason: await result.finishReason };
}

export async function tools(facts) {
  const asked = [];
  const { text, steps } = await generateText({
    model: model(facts),
    prompt: '!call get_weather {"city": "Paris"}\nWhat is the weather?',
    tools: { get_weather: weather(asked) },
    stopWhen: stepCountIs(3),
  });
  return { text, asked, steps: steps.length };
}

export async function streamedTools(facts) {
  const asked = [];
  const kinds = new Set();
  let text = "";
  const result = streamText({
    model: model(facts),
    prompt: '!call get_weather {"city": "Paris"}\n!call get_weather {"city": "Rome"}\nWeather?',
    tools: { get_weather: weather(asked) },
    stopWhen: stepCountIs(3),
  });
  for await (const part of result.fullStream) {
    kinds.add(part.type);
    if (part.type === "text-delta") text += part.text;
  }
  return { text, asked: asked.sort(), kinds: [...kinds] };
}

export async function toolChoice(facts) {
  const { toolCalls } = await generateText({
    model: model(facts),
    prompt: "Hello",
    tools: { get_weather: weather([]), get_time: weather([]) },
    toolChoice: { type: "tool", toolName: "get_time" },
  });
  return toolCalls.map((call) => call.toolName);
}

export async function object(facts) {
  const { object } = await generateObject({
    model: model(facts),
    schema: Person,
    prompt: `This is ${JOHN}.`,
  });
  return object;
}

export async function objectInJsonMode(facts) {
  const { object } = await generateObject({
    model: model(facts, { supportsStructuredOutputs: false }),
    schema: Person,
    prompt: `This is ${JOHN}.`,
  });
  return object;
}

export async function streamedObject(facts) {
  const result = streamObject({
    model: model(facts),
    schema: Person,
    prompt: `!pace 0.002\nThis is ${JOHN}.`,
  });
  const partial = [];
  for await (const one of result.partialObjectStream) partial.push(one);
  return { partial, object: await result.object };
}

export async function errors(facts) {
  const told = {};
  const compatible = createOpenAICompatible({ name: "launchpad", baseURL: facts.baseURL });
  const locked = createOpenAICompatible({
    name: "launchpad",
    baseURL: facts.lockedURL,
    apiKey: "wrong",
  });
  for (const [name, request] of Object.entries({
    missing: { model: compatible("gpt-9"), prompt: "Hi" },
    limited: { model: compatible("chat"), prompt: "!status 429" },
    key: { model: locked("chat"), prompt: "Hi" },
  })) {
    try {
      await generateText({ ...request, maxRetries: 0 });
    } catch (error) {
      told[name] = [APICallError.isInstance(error), error.statusCode, error.message];
    }
  }
  return told;
}

export async function errorInMidStream(facts) {
  const errors = [];
  const result = streamText({
    model: model(facts),
    prompt: "!die 2\nhello my dear friend",
    onError: ({ error }) => errors.push(String(error?.message ?? error)),
  });
  let text = "";
  for await (const delta of result.textStream) text += delta;
  return { text, errors };
}

export async function abort(facts) {
  const controller = new AbortController();
  const result = streamText({
    model: model(facts),
    prompt: "!hang 2\nhello my dear friend",
    abortSignal: controller.signal,
  });
  let text = "";
  for await (const delta of result.textStream) {
    text += delta;
    controller.abort();
  }
  return text;
}
