// OpenAI's chat completions, streamed, over llama.cpp: what `make test-llm` points the controller at. One question at a
// time, and only what the controller requests, with a grammar that keeps so small a model from saying nothing or too much.
//
// node server.mjs MODEL.gguf: prints one line of JSON with its url, then one for each answer; ends with its standard input.

import { createServer } from "node:http";
import { getLlama, LlamaChatSession } from "node-llama-cpp";

const CONTEXT = 16_384;
const MOST_TOKENS = 1500;
// A model this small says "1" and no more, or repeats itself to no end where nothing stops it, in texts and in digits.
// The schema that the controller sends has no ranges; the grammar made of it here gives texts a least and a greatest
// length and knows few numbers, so that there is a proposal to judge. AEGIS_LLM_RANGES=0 leaves the schema as it came.
const RANGES = process.env.AEGIS_LLM_RANGES !== "0";
const SHORTEST_TEXT = 40;
const LONGEST_TEXT = 120;
const NUMBERS = { integer: [0], number: [0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1] };
const BODY = 1024 * 1024;

const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const llama = await getLlama({ build: "never", gpu: false, logLevel: "error" });
const model = await llama.loadModel({ modelPath: process.argv[2] });
// Two threads that wait for each other on a core that is taken are slower than one by orders of magnitude.
const context = await model.createContext({ contextSize: CONTEXT, threads: Number(process.env.AEGIS_LLM_THREADS ?? 1) });
const sequence = context.getSequence();

function bounded(field) {
  if (!RANGES || field.enum) return field;
  if (field.type === "string") return { ...field, minLength: SHORTEST_TEXT, maxLength: LONGEST_TEXT };
  if (field.type in NUMBERS) return { enum: NUMBERS[field.type] };
  if (!field.properties) return field;
  const properties = Object.entries(field.properties).map(([name, part]) => [name, bounded(part)]);
  return { ...field, properties: Object.fromEntries(properties) };
}

async function answer(asked, signal, onText) {
  const schema = asked.response_format?.json_schema?.schema;
  const grammar = schema && (await llama.createGrammarForJsonSchema(bounded(schema)));
  const of = (role) => asked.messages.filter((message) => message.role === role).map((message) => message.content);
  await sequence.clearHistory();
  const session = new LlamaChatSession({ contextSequence: sequence, systemPrompt: of("system").join("\n\n") });
  const before = sequence.tokenMeter.getState();
  const started = performance.now();
  const name = asked.response_format?.json_schema?.name ?? "text";
  let first;
  let said = "";
  try {
    const reply = await session.promptWithMeta(of("user").join("\n\n"), {
      grammar,
      maxTokens: Math.min(asked.max_tokens ?? MOST_TOKENS, MOST_TOKENS),
      temperature: asked.temperature ?? 0,
      signal,
      onTextChunk: (text) => {
        first ??= performance.now();
        said += text;
        onText(text);
      },
    });
    const used = sequence.tokenMeter.diff(before);
    const [prompt, completion] = [used.usedInputTokens, used.usedOutputTokens];
    const seconds = (performance.now() - (first ?? started)) / 1000;
    report({
      asked: name,
      schema: Boolean(schema),
      prompt_tokens: prompt,
      completion_tokens: completion,
      seconds_to_first: ((first ?? started) - started) / 1000,
      tokens_per_second: completion / seconds,
      finish: reply.stopReason,
      said: reply.responseText,
    });
    return { prompt, completion, finish: reply.stopReason === "maxTokens" ? "length" : "stop" };
  } catch (error) {
    report({ asked: name, schema: Boolean(schema), finish: String(error), said });
    throw error;
  } finally {
    session.dispose({ disposeSequence: false });
  }
}

async function body(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY) throw new RangeError(`more than ${BODY} bytes`);
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts).toString("utf8"));
}

let turn = Promise.resolve();

async function serve(request, response) {
  const refuse = (code, message) =>
    response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify({ error: { message } }));
  if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
    return refuse(404, `only POST /v1/chat/completions is here, not ${request.method} ${request.url}`);
  }
  let asked;
  try {
    asked = await body(request);
  } catch (error) {
    return refuse(400, `the body is no JSON: ${error.message}`);
  }
  if (!Array.isArray(asked.messages) || asked.stream !== true) {
    return refuse(400, "messages must be an array and stream must be true: nothing else is offered here");
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const send = (rest) => {
    const event = { id: "chatcmpl-1", object: "chat.completion.chunk", model: asked.model, ...rest };
    response.write(`data: ${JSON.stringify(event)}\n\n`);
  };
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const mine = turn.then(async () => {
    if (gone.signal.aborted) return;
    const text = (content) => send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
    const { prompt, completion, finish } = await answer(asked, gone.signal, text);
    send({ choices: [{ index: 0, delta: {}, finish_reason: finish }] });
    const usage = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
    if (asked.stream_options?.include_usage) send({ choices: [], usage });
    response.end("data: [DONE]\n\n");
  });
  turn = mine.catch((error) => {
    report({ error: String(error) });
    if (response.writable) {
      send({ error: { message: String(error) } });
      response.end();
    }
  });
  return turn;
}

const server = createServer((request, response) => void serve(request, response));
server.listen(0, "127.0.0.1", () => report({ url: `http://127.0.0.1:${server.address().port}/v1`, reports: true }));
process.stdin.on("end", () => process.exit(0)).resume();
