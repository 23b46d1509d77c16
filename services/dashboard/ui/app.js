// The frame: who is here, where they are, what everybody must know, and the page.
import { computed, html, render, useEffect, useRef, useState } from "./lib/html.js";
import { span } from "./lib/format.js";
import { connection } from "./lib/live.js";
import { go, href, listen, place, run } from "./lib/route.js";
import { isLoggedOut, may, me } from "./lib/session.js";
import { blind, start, waiting } from "./lib/state.js";
import { apply as applyTheme, setTheme, theme } from "./lib/theme.js";
import { post } from "./lib/api.js";
import { Button, ErrorBox, Loading, Toasts, now, toast } from "./lib/ui.js";

/** @typedef {{ pattern: RegExp, file: string, params?: string[] }} Page */
/** @type {Page[]} */
const PAGES = [
  { pattern: /^\/(?:fleet)?$/, file: "fleet" },
  { pattern: /^\/agents\/([^/]+)$/, file: "agent", params: ["id"] },
  { pattern: /^\/approvals$/, file: "approvals" },
  { pattern: /^\/cases$/, file: "cases" },
  { pattern: /^\/cases\/([^/]+)$/, file: "case", params: ["id"] },
  { pattern: /^\/memory$/, file: "memory" },
  { pattern: /^\/log$/, file: "log" },
  { pattern: /^\/policy$/, file: "policy" },
  { pattern: /^\/system$/, file: "system" },
  { pattern: /^\/access$/, file: "access" },
  { pattern: /^\/notifications$/, file: "notifications" },
  { pattern: /^\/login$/, file: "login" },
];

const LINKS = [
  { path: "/fleet", label: "Fleet" },
  { path: "/approvals", label: "Approvals", count: () => waiting.value.length },
  { path: "/cases", label: "Cases" },
  { path: "/memory", label: "Memory" },
  { path: "/log", label: "Action log" },
  { path: "/policy", label: "Policy" },
  { path: "/notifications", label: "Notifications", role: "admin" },
  { path: "/access", label: "Access", role: "admin" },
  { path: "/system", label: "System" },
];

const current = computed(() => {
  for (const page of PAGES) {
    const found = page.pattern.exec(place.value.path);
    if (found) {
      const params = Object.fromEntries((page.params ?? []).map((name, n) => [name, decode(found[n + 1] ?? "")]));
      return { file: page.file, params };
    }
  }
  return null;
});

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function Nav() {
  const bar = useRef(/** @type {HTMLElement | null} */ (null));
  // On a phone the links go beyond the edge; the current one is brought into view.
  useEffect(() => {
    const link = bar.current?.querySelector("[aria-current]");
    if (bar.current && link instanceof HTMLElement) bar.current.scrollLeft = link.offsetLeft - bar.current.offsetLeft - 24;
  }, [place.value.path]);
  const path = place.value.path === "/" ? "/fleet" : place.value.path;
  const isAt = (/** @type {string} */ link) => path === link || path.startsWith(`${link}/`) || (link === "/fleet" && path.startsWith("/agents/"));
  return html`<nav class="nav" aria-label="Pages" ref=${bar}><ul>
    ${LINKS.filter((link) => !link.role || may(/** @type {"admin"} */ (link.role))).map((link) => {
      const count = link.count?.() ?? 0;
      return html`<li key=${link.path}><a href=${href(link.path)} aria-current=${isAt(link.path) ? "page" : undefined}>${link.label}
        ${count > 0 && html`<span class="badge" aria-label=${`${count} wait for a person`}>${count}</span>`}</a></li>`;
    })}
  </ul></nav>`;
}

function Person() {
  const who = me.value;
  if (!who) return null;
  const leave = async () => {
    try {
      const answer = await post("/auth/logout");
      window.location.assign(answer?.redirect ?? "/login");
    } catch (error) {
      toast(/** @type {any} */ (error).detail ?? String(error), "error");
    }
  };
  if (who.access === "open_loopback") {
    return html`<span class="person person-open" title="Whoever is on this machine may do everything. Create a key or configure access before others can reach it.">Open access<span class="person-where">: this machine only</span></span>`;
  }
  return html`<div class="person">
    <span class="person-name" title=${`${who.subject}, by ${who.via}`}>${who.name}</span>
    <span class="role">${who.role}</span>
    ${who.csrf && html`<${Button} kind="quiet" onClick=${leave}>Log out<//>`}
  </div>`;
}

const THEMES = { system: { next: "light", mark: "◐" }, light: { next: "dark", mark: "☀" }, dark: { next: "system", mark: "☾" } };

function Theme() {
  const { next, mark } = THEMES[/** @type {keyof typeof THEMES} */ (theme.value)];
  return html`<${Button} kind="quiet" onClick=${() => setTheme(next)} label=${`Theme: ${theme.value}. Change to ${next}`} title=${`Theme: ${theme.value}`}>${mark}<//>`;
}

function Run() {
  const runs = me.value?.runs ?? [];
  const shown = run.value || runs[0] || "default";
  const change = (/** @type {string} */ next) => {
    if (next && next !== shown) window.location.assign(`${window.location.pathname}?run=${encodeURIComponent(next)}`);
  };
  if (runs.length > 1) {
    return html`<label class="run"><span class="run-word">Run</span> <select onChange=${(/** @type {any} */ event) => change(event.target.value)}>${runs.map((one) => html`<option key=${one} selected=${one === shown}>${one}</option>`)}</select></label>`;
  }
  if (runs.length === 1) return html`<span class="run"><span class="run-word">Run</span> <b>${shown}</b></span>`;
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    change(new FormData(event.target).get("run")?.toString().trim() ?? "");
  };
  return html`<form class="run" onSubmit=${submit}><label><span class="run-word">Run</span> <input name="run" defaultValue=${shown} size="8" autocomplete="off" spellcheck=${false} /></label></form>`;
}

/** Breaks that are mended sooner are not worth a word, seconds. */
const BREAK_MIN = 1;

/** What everybody must know, on every page. Ages are not read out: a screen reader would never come to rest. */
function Banners() {
  const link = connection.value;
  const silent = link.state === "broken" ? (now.value - link.since) / 1_000 : 0;
  const isBroken = silent > BREAK_MIN;
  const isBlind = !isBroken && blind.value?.is_blind === true;
  return html`
    <div class="hidden" role="status">${isBroken ? "The connection to the server is lost: what you see may be old." : isBlind ? "The guard is blind: agents that fall ill now are not seen." : ""}</div>
    ${isBroken && html`<p class="banner banner-error"><b>Disconnected</b> for ${span(silent)}: what you see may be old. Trying to reconnect; nothing that you typed is lost.</p>`}
    ${isBlind && html`<p class="banner banner-error"><b>The guard is blind</b>: ${blind.value?.why ?? "no telemetry arrives"}. Agents that fall ill now may not be seen. <a href=${href("/system")}>What to do</a></p>`}`;
}

/** The module of a page; what it needs is asked for as soon as it is there. @param {string} file */
async function open(file) {
  const module = await import(`./pages/${file}.js`);
  module.prepare?.();
  return module;
}

function Page() {
  const page = current.value;
  const [shown, setShown] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (!page) return;
    let isLeft = false;
    open(page.file).then(
      (module) => isLeft || setShown({ file: page.file, component: module.default }),
      (error) => isLeft || setShown({ file: page.file, error }),
    );
    return () => {
      isLeft = true;
    };
  }, [page?.file]);
  if (!page) return html`<div class="state"><h2>There is nothing here</h2><p><a href=${href("/fleet")}>Go to the fleet</a></p></div>`;
  if (shown?.file !== page.file) return html`<${Loading} />`;
  if (shown.error) return html`<${ErrorBox} error=${{ detail: "This page could not be loaded. The server may have been updated meanwhile: load the page again." }} onRetry=${() => window.location.reload()} />`;
  return html`<${shown.component} params=${page.params} key=${JSON.stringify(page.params)} />`;
}

/** @param {{ isIn: boolean }} props whether somebody is logged in */
function App({ isIn }) {
  useEffect(() => {
    // A session that ends in the middle: what was typed is kept as drafts, the way back is in the address.
    if (isLoggedOut.value && place.value.path !== "/login") go(`/login?then=${encodeURIComponent(window.location.pathname + window.location.search)}`);
  }, [isLoggedOut.value, place.value.path]);
  if (!isIn || isLoggedOut.value || place.value.path === "/login") {
    return html`<main class="main main-alone" tabindex="-1"><${Page} /></main><${Toasts} />`;
  }
  return html`<a class="skip" href="#main" data-whole>Skip to the content</a>
    <header class="top">
      <a class="brand" href=${href("/fleet")}><svg viewBox="0 0 32 32" aria-hidden="true"><path class="brand-shield" d="M16 2 28 6v9c0 8-5 13-12 15C9 28 4 23 4 15V6z" /><path class="brand-line" d="M8 16h5l2-5 3 9 2-4h4" /></svg><span class="brand-name">Immune</span></a>
      <${Nav} />
      <div class="top-side"><${Run} /><${Person} /><${Theme} /></div>
    </header>
    <${Banners} />
    <main id="main" class="main" tabindex="-1"><${Page} /></main>
    <${Toasts} />`;
}

applyTheme();
listen();
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const begin = () =>
  start().then(
    (isIn) => render(html`<${App} isIn=${isIn} />`, root),
    (error) => render(html`<main class="main main-alone"><${ErrorBox} error=${error} onRetry=${begin} /></main>`, root),
  );
root.replaceChildren();
// The page is fetched while the server is asked who is here; if it is not to be had, the page itself says so.
if (current.peek()) open(current.peek()?.file ?? "").catch(() => {});
begin();
