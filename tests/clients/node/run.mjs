// Runs every function that a module exports, one after another, and prints what each returned:
//   node run.mjs openai.mjs '{"baseURL": "http://127.0.0.1:8080/v1"}'
const [file, facts] = process.argv.slice(2);
const results = {};
for (const [name, scenario] of Object.entries(await import(`./${file}`))) {
  try {
    results[name] = { value: (await scenario(JSON.parse(facts))) ?? null };
  } catch (error) {
    results[name] = { error: String(error?.stack ?? error) };
  }
}
process.stdout.write(JSON.stringify(results), () => process.exit(0));
