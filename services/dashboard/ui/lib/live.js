// Live events of the server. A break is mended by itself: the stream goes on after the last event that came, and who
// listens is told to ask again for what has no place in the order.
import { signal } from "@preact/signals";
import { get } from "./api.js";
import { loginWays } from "./session.js";
import { run } from "./route.js";

const EVENTS = [
  "case", "snapshot", "case_opened", "case_worsened", "case_waiting", "case_contained", "case_decided", "case_healing", "case_healed",
  "case_failed", "case_breached", "case_released", "agents", "reset", "system",
];
/** Waits between tries to connect, milliseconds. */
const PAUSE_FIRST = 500;
const PAUSE_MAX = 10_000;

/** `connecting`, `live`, or `broken` since a time. */
export const connection = signal(/** @type {{ state: "connecting" | "live" | "broken", since: number }} */ ({ state: "connecting", since: Date.now() }));

/** @typedef {(name: string, data: any) => void} Listener */
/** @type {Set<Listener>} */
const listeners = new Set();
/** @type {Set<() => void>} */
const resyncs = new Set();
/** @type {[string, any][]} */
let waiting = [];
let isFlushing = false;
/** @type {EventSource | null} */
let source = null;
let last = "";
let pause = PAUSE_FIRST;
let hadBreak = false;

/** Calls back for each event, in order; returns how to stop. @param {Listener} listener */
export function onEvent(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Calls back after a break: what has no place in the order of events may have changed. @param {() => void} listener */
export function onResync(listener) {
  resyncs.add(listener);
  return () => void resyncs.delete(listener);
}

/** Events of one frame are handed on together, so that a burst draws once. */
function flush() {
  isFlushing = false;
  const events = waiting;
  waiting = [];
  for (const [name, data] of events) for (const listener of listeners) listener(name, data);
}

/** @param {string} name @param {any} data */
function receive(name, data) {
  waiting.push([name, data]);
  if (isFlushing) return;
  isFlushing = true;
  // Hidden pages draw no frames.
  if (document.hidden) setTimeout(flush, 100);
  else requestAnimationFrame(flush);
}

function broken() {
  hadBreak = true;
  if (connection.peek().state !== "broken") connection.value = { state: "broken", since: Date.now() };
}

/** Connects, and again whenever the connection is lost. */
export function connect() {
  source?.close();
  const url = new URL("/api/events", window.location.origin);
  if (run.peek()) url.searchParams.set("run_id", run.peek());
  if (last) url.searchParams.set("after", last);
  const opened = new EventSource(url);
  source = opened;
  opened.onopen = () => {
    pause = PAUSE_FIRST;
    connection.value = { state: "live", since: Date.now() };
    if (hadBreak) for (const again of resyncs) again();
    hadBreak = false;
  };
  opened.onerror = async () => {
    if (source !== opened) return;
    broken();
    opened.close();
    // A stream does not say why it ended. If the session did, asking who is here says so and leads to the login.
    await get("/api/me").catch(() => {});
    if (loginWays.peek() !== null) return;
    setTimeout(() => source === opened && connect(), pause);
    pause = Math.min(pause * 2, PAUSE_MAX);
  };
  for (const name of EVENTS) {
    opened.addEventListener(name, (event) => {
      if (event.lastEventId) last = event.lastEventId;
      // What follows has numbers of its own.
      if (name === "reset" && JSON.parse(event.data).what === "cases") last = "";
      receive(name, JSON.parse(event.data));
    });
  }
}

/** Ends the stream, for a page that is left. */
export function disconnect() {
  const closing = source;
  source = null;
  closing?.close();
}
