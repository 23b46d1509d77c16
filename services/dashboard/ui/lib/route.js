// Where the person is: path and query of the page as a signal. Filters, search and the chosen run live in the query, so
// that a link shows what its sender saw.
import { computed, signal } from "@preact/signals";

const read = () => ({ path: decodePath(window.location.pathname), query: new URLSearchParams(window.location.search) });

/** @type {import("@preact/signals").Signal<{ path: string, query: URLSearchParams }>} */
export const place = signal(read());

/** The run that is shown; empty: the caller's own first one. */
export const run = computed(() => place.value.query.get("run") ?? "");

/** @param {string} path */
function decodePath(path) {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

/**
 * A link within the page that keeps the run.
 * @param {string} path
 * @param {Record<string, string | null | undefined>} [query]
 */
export function href(path, query = {}) {
  const kept = new URLSearchParams();
  if (run.peek()) kept.set("run", run.peek());
  for (const [name, value] of Object.entries(query)) if (value != null && value !== "") kept.set(name, value);
  const text = kept.toString();
  return text ? `${path}?${text}` : path;
}

/** Path of an agent's page. @param {string} id */
export const agentPath = (id) => `/agents/${encodeURIComponent(id)}`;
/** Path of a case's page. @param {string} id */
export const casePath = (id) => `/cases/${encodeURIComponent(id)}`;

/**
 * Goes to another page.
 * @param {string} to path with query, as from `href`
 * @param {{ replace?: boolean }} [options]
 */
export function go(to, { replace = false } = {}) {
  window.history[replace ? "replaceState" : "pushState"](null, "", to);
  place.value = read();
  if (!replace) {
    window.scrollTo(0, 0);
    // Who uses a screen reader hears where they are.
    requestAnimationFrame(() => document.querySelector("main")?.focus({ preventScroll: true }));
  }
}

/**
 * Changes some of the query and keeps the rest; `null` removes. Typing into a search field adds nothing to the history.
 * @param {Record<string, string | null>} changes
 */
export function setQuery(changes) {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  go(text ? `${window.location.pathname}?${text}` : window.location.pathname, { replace: true });
}

/** The value of a parameter of the query. @param {string} name */
export const queried = (name, fallback = "") => place.value.query.get(name) ?? fallback;

/** Follows links within the page without loading it again. */
export function listen() {
  window.addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || link.target || link.hasAttribute("download") || link.origin !== window.location.origin) return;
    if (link.pathname.startsWith("/api/") || link.pathname.startsWith("/auth/") || link.hasAttribute("data-whole")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
