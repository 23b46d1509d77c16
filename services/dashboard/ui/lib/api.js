// Calls of the server: JSON in and out; errors as problems (RFC 9457) whose `detail` is meant for people.
import { loginWays, me } from "./session.js";
import { run } from "./route.js";

/** Longest wait for an answer, milliseconds. */
const ANSWER_MAX = 30_000;

/** Why a call failed, in words that can be shown. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when nobody answered
   * @param {string} code machine word
   * @param {string} detail
   * @param {any} [body]
   */
  constructor(status, code, detail, body = null) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.body = body;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ query?: Record<string, any> | URLSearchParams, body?: any, signal?: AbortSignal }} [options]
 * @returns {Promise<{ value: any, headers: Headers }>}
 */
export async function call(method, path, { query, body, signal } = {}) {
  const url = new URL(path, window.location.origin);
  if (query instanceof URLSearchParams) for (const [name, value] of query) url.searchParams.append(name, value);
  else
    for (const [name, value] of Object.entries(query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one != null && one !== "") url.searchParams.append(name, String(one));
      }
    }
  /** @type {Record<string, string>} */
  const headers = { accept: "application/json" };
  if (run.peek()) headers["x-run-id"] = encodeHeader(run.peek());
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET" && me.peek()?.csrf) headers["x-csrf-token"] = me.peek()?.csrf ?? "";
  const limit = AbortSignal.timeout(ANSWER_MAX);
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "page.no_answer", "The server does not answer. Is it running, and is this machine on its network?");
  }
  const text = await answer.text();
  const value = text ? parse(text) : null;
  if (answer.ok) return { value, headers: answer.headers };
  if (answer.status === 401) loginWays.value = value?.ways ?? [{ kind: "api_key" }];
  const detail = value?.detail ?? value?.title ?? `The server answered with status ${answer.status}.`;
  throw new Problem(answer.status, value?.code ?? value?.type ?? "", sentence(detail), value);
}

/** @param {string} path @param {Record<string, any> | URLSearchParams} [query] @param {AbortSignal} [signal] */
export const get = async (path, query, signal) => (await call("GET", path, { query, signal })).value;
/** @param {string} path @param {any} [body] */
export const post = async (path, body = {}) => (await call("POST", path, { body })).value;
/** @param {string} path */
export const del = async (path) => (await call("DELETE", path)).value;

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Header values are bytes: ids of any script go as UTF-8. @param {string} text */
function encodeHeader(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** The server's messages begin in lower case and have no stop. @param {string} text */
export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
