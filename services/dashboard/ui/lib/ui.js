// The parts that pages are made of.
import { html, signal, useEffect, useId, useRef, useState } from "./html.js";
import { ago, iso, span, time } from "./format.js";
import { CONDITIONS, condition, grade } from "./words.js";
import { sentence } from "./api.js";
import { connection } from "./live.js";
import { waiting } from "./state.js";

/** Grows every second while the page is visible, for ages and countdowns. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1_000);

/** The state of an agent. @param {{ agent: import("./state.js").Agent }} props */
export function Condition({ agent }) {
  return html`<${Pill} kind=${condition(agent)} />`;
}

/** @param {{ kind: string, label?: string }} props a condition's word */
export function Pill({ kind, label }) {
  const known = CONDITIONS[kind] ?? { label: kind, mark: "●" };
  return html`<span class=${`pill pill-${kind}`}><span class="mark" aria-hidden="true">${known.mark}</span>${label ?? known.label}</span>`;
}

/** A word with a mark: shape, word and colour all say it. @param {{ mark: string, label: string, kind: "good" | "warn" | "bad" | "muted" }} props */
export const Sign = ({ mark, label, kind }) => html`<span class=${`sign ${kind}`}><span class="mark" aria-hidden="true">${mark}</span>${label}</span>`;

/** Severity as number, word and bar. @param {{ value: number, isShort?: boolean }} props */
export function Severity({ value, isShort = false }) {
  if (!value) return html`<span class="muted">–</span>`;
  const word = grade(value);
  return html`<span class=${`severity severity-${word}`} title=${`severity ${value.toFixed(1)} of 10`}>
    <span class="severity-value">${value.toFixed(1)}</span>
    <span class=${isShort ? "hidden" : "severity-word"}>${word}</span>
  </span>`;
}

/** A time, relative, with the whole one on hover. @param {{ at: number | null | undefined, isExact?: boolean }} props epoch seconds */
export function When({ at, isExact = false }) {
  if (at == null) return html`<span class="muted">never</span>`;
  return html`<time datetime=${iso(at)} title=${iso(at)}>${isExact ? time(at) : ago(at, now.value)}</time>`;
}

/** Time that is left. @param {{ until: number }} props epoch seconds */
export function Countdown({ until }) {
  const left = until - now.value / 1_000;
  return html`<time datetime=${iso(until)} title=${iso(until)}>${left > 0 ? `in ${span(left)}` : "now"}</time>`;
}

/** How far a baseline is. @param {{ baseline: { state: string, samples: number, samples_min: number } }} props */
export function Progress({ baseline }) {
  const { state, samples, samples_min: needed } = baseline;
  if (state === "active") return html`<span class="muted">ready</span>`;
  if (state === "stale" || state === "suspect") return html`<span class="warn">${state}</span>`;
  return html`<span class="progress"><progress max=${needed} value=${Math.min(samples, needed)} aria-label="baseline">${samples} of ${needed}</progress>
    <span class="muted">${samples}/${needed}</span></span>`;
}

/**
 * @param {{ children: any, onClick?: (event: Event) => void, kind?: "plain" | "primary" | "danger" | "quiet", type?: string, disabled?: boolean, title?: string, label?: string, busy?: boolean, isSmall?: boolean }} props
 * `isSmall`: for the rows of a table.
 */
export function Button({ children, onClick, kind = "plain", type = "button", disabled = false, title, label, busy = false, isSmall = false }) {
  return html`<button type=${type} class=${`button button-${kind} ${isSmall ? "button-small" : ""}`} onClick=${onClick} disabled=${disabled || busy} title=${title} aria-label=${label} aria-busy=${busy}>${children}</button>`;
}

/** A labelled field. `children` gets the id and the ids of what describes it. @param {{ label: string, hint?: string, error?: string | null, children: (id: string, describedBy?: string) => any }} props */
export function Field({ label, hint, error, children }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children(id, hint || error ? `${id}-hint` : undefined)}
    ${(hint || error) && html`<p id=${`${id}-hint`} class=${error ? "field-error" : "hint"}>${error ?? hint}</p>`}
  </div>`;
}

/** A dialog that the browser makes modal; Escape closes it. @param {{ title: string, onClose: () => void, children: any, isWide?: boolean }} props */
export function Dialog({ title, onClose, children, isWide = false }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return html`<dialog ref=${box} class=${isWide ? "dialog dialog-wide" : "dialog"} aria-labelledby=${id} onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); onClose(); }}>
    <div class="dialog-head"><h2 id=${id}>${title}</h2><${Button} kind="quiet" label="Close" onClick=${onClose}>✕<//></div>
    ${children}
  </dialog>`;
}

/** Nothing to show, and what to do about it. @param {{ title: string, children?: any }} props */
export const Empty = ({ title, children }) => html`<div class="state"><h2>${title}</h2>${children && html`<p>${children}</p>`}</div>`;

/** What went wrong, and a way on. @param {{ error: any, onRetry?: () => void }} props */
export function ErrorBox({ error, onRetry }) {
  const detail = error?.detail ?? sentence(String(error?.message ?? error));
  return html`<div class="state state-error" role="alert"><h2>This could not be shown</h2><p>${detail}</p>
    ${onRetry && html`<p><${Button} onClick=${onRetry}>Try again<//></p>`}</div>`;
}

/** @param {{ what?: string }} props */
export const Loading = ({ what = "Loading" }) => html`<div class="state" role="status"><span class="spinner" aria-hidden="true"></span><p>${what} …</p></div>`;

/**
 * What a load shows while it has no value, else what `children` draws; that what is shown is old is said, unless the
 * banner of the frame says so already.
 * @param {{ load: any, what?: string, children: (value: any) => any }} props
 */
export function Loaded({ load, what, children }) {
  if (load.value === undefined) {
    return load.error ? html`<${ErrorBox} error=${load.error} onRetry=${load.reload} />` : html`<${Loading} what=${what} />`;
  }
  const isSaid = load.error?.status === 0 && connection.value.state === "broken";
  return html`${load.error && !isSaid && html`<p class="banner banner-warn" role="alert">${load.error.detail ?? String(load.error)} What you see is from before. <${Button} kind="quiet" onClick=${load.reload}>Try again<//></p>`}${children(load.value)}`;
}

/** Text with a button that copies it. @param {{ text: string, label: string }} props */
export function Copy({ text, label }) {
  const [isDone, setDone] = useState(false);
  const shown = useRef(/** @type {HTMLElement | null} */ (null));
  const copy = async () => {
    // Browsers lend the clipboard to secure pages only; elsewhere the text is selected, to be copied by hand.
    if (!navigator.clipboard) {
      if (shown.current) window.getSelection()?.selectAllChildren(shown.current);
      return;
    }
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1_500);
  };
  return html`<span class="copy"><code ref=${shown}>${text}</code><${Button} kind="quiet" label=${label} onClick=${copy}>${isDone ? "copied" : "copy"}<//></span>`;
}

/** @typedef {{ id: number, text: string, kind: "done" | "error" }} Toast */
const toasts = signal(/** @type {Toast[]} */ ([]));
let toastId = 0;

/** Says briefly what happened. Errors stay until they are dismissed. @param {string} text @param {"done" | "error"} [kind] */
export function toast(text, kind = "done") {
  const id = ++toastId;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
  if (kind === "done") setTimeout(() => dismiss(id), 6_000);
}

const dismiss = (/** @type {number} */ id) => {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
};

export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">
  ${toasts.value.map((toast) => html`<div class=${`toast toast-${toast.kind}`} key=${toast.id}><span>${toast.text}</span><${Button} kind="quiet" label="Dismiss" onClick=${() => dismiss(toast.id)}>✕<//></div>`)}
</div>`;

/** One choice of several, as chips. @param {{ label: string, value: string, choices: { value: string, label: string, count?: number }[], onChange: (value: string) => void }} props */
export function Chips({ label, value, choices, onChange }) {
  return html`<div class="chips" role="group" aria-label=${label}>
    ${choices.map((choice) => html`<button type="button" class="chip" key=${choice.value} aria-pressed=${choice.value === value} onClick=${() => onChange(choice.value)}>
      ${choice.label}${choice.count != null && html` <span class="chip-count">${choice.count}</span>`}</button>`)}
  </div>`;
}

/** A heading of a page with what stands beside it; the title of the window follows, with how many cases wait for a person, so that a tab in the background says it. @param {{ title: string, children?: any }} props */
export function Head({ title, children }) {
  const count = waiting.value.length;
  useEffect(() => {
    document.title = `${count ? `(${count}) ` : ""}${title} · Immune`;
  }, [title, count]);
  return html`<header class="head"><h1>${title}</h1>${children && html`<div class="head-side">${children}</div>`}</header>`;
}
