// openai-node on streams with heartbeats before the first token and in the gaps.
import OpenAI from "openai";

async function read(baseURL) {
  const client = new OpenAI({ baseURL, apiKey: "any", maxRetries: 0 });
  const words = [];
  for await (const chunk of await client.chat.completions.create({
    model: "talk",
    messages: [{ role: "user", content: "Hi" }],
    stream: true,
  })) {
    words.push(chunk.choices[0]?.delta?.content ?? "");
  }
  return words.join("");
}

export const withoutIds = ({ plainURL }) => read(plainURL);
export const withIds = ({ idsURL }) => read(idsURL);
