// The router's events, over and over: EventSource cannot send a token, so this reads the stream itself.

const SILENCE_MS = 5000; // A message comes each second.
const FIRST_WAIT_MS = 1000;
const MOST_WAIT_MS = 15000;

/** Thrown when the router wants a token, or another one. */
export class TokenNeeded extends Error {}

const sleep = (millis) => new Promise((done) => setTimeout(done, millis));

/**
 * Follows the events until a token is needed.
 * @param handlers events' names and who takes their data
 * @param onLost called with what is wrong, and the seconds until the next try
 */
export async function follow(token, handlers, onLost) {
  for (let wait = FIRST_WAIT_MS; ; ) {
    let reason = "the router ended the stream";
    try {
      await readOnce(token, (name, data) => {
        wait = FIRST_WAIT_MS;
        handlers[name]?.(data);
      });
    } catch (failure) {
      if (failure instanceof TokenNeeded) {
        throw failure;
      }
      reason = explain(failure);
    }
    onLost(reason, Math.round(wait / 1000));
    await sleep(wait);
    wait = Math.min(2 * wait, MOST_WAIT_MS);
  }
}

function explain(failure) {
  if (failure.name === "AbortError") {
    return "nothing comes from the router";
  }
  return failure instanceof TypeError ? "the router cannot be reached" : failure.message;
}

async function readOnce(token, onEvent) {
  const abort = new AbortController();
  let alarm = setTimeout(() => abort.abort(), SILENCE_MS);
  try {
    const response = await fetch("/live", {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: "no-store",
      signal: abort.signal,
    });
    if (response.status === 401) {
      throw new TokenNeeded();
    }
    if (!response.ok) {
      const told = await response.json().catch(() => ({}));
      throw new Error(told.error ?? `the router answered ${response.status}`);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(alarm);
      alarm = setTimeout(() => abort.abort(), SILENCE_MS);
      const events = (text + part.value).split("\n\n");
      text = events.pop();
      events.forEach((event) => dispatch(event, onEvent));
    }
  } finally {
    clearTimeout(alarm);
    abort.abort();
  }
}

function dispatch(event, onEvent) {
  const fields = new Map(
    event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
  );
  if (fields.has("data")) {
    onEvent(fields.get("event") ?? "message", JSON.parse(fields.get("data")));
  }
}
