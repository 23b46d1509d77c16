// A list of thousands of rows of which only those in view exist. From a link in a row the arrow keys, page keys, Home and
// End lead to the other rows.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";

/** Rows drawn above and below those in view. */
const BESIDE = 6;

/**
 * @template T
 * @param {{ items: T[], rowHeight: number, label: string, head?: any, row: (item: T, index: number) => any, keyOf: (item: T) => string, onRange?: (items: T[]) => void }} props
 * `row` draws the cells; the list draws the row around them. `onRange` hears which items are in view.
 */
export function List({ items, rowHeight, label, head, row, keyOf, onRange }) {
  const scroller = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [view, setView] = useState({ top: 0, height: 600 });
  const measure = () => {
    const box = scroller.current;
    if (box) setView({ top: box.scrollTop, height: box.clientHeight });
  };
  useLayoutEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    measure();
    return () => observer.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - BESIDE);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + BESIDE);
  const shown = items.slice(first, last);
  const range = shown.map(keyOf).join("\n");
  useEffect(() => onRange?.(shown), [range]);
  /** @param {number} index */
  const focusRow = (index) => {
    const box = scroller.current;
    if (!box) return;
    const top = index * rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + rowHeight > box.scrollTop + box.clientHeight) box.scrollTop = top + rowHeight - box.clientHeight;
    measure();
    requestAnimationFrame(() => {
      const link = box.querySelector(`[data-row="${index}"] a`);
      if (link instanceof HTMLElement) link.focus({ preventScroll: true });
    });
  };
  const move = (/** @type {KeyboardEvent} */ event) => {
    const row = event.target instanceof Element ? event.target.closest("[data-row]") : null;
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const at = Number(row.getAttribute("data-row"));
    const page = Math.max(1, Math.floor(view.height / rowHeight) - 1);
    const wanted = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: items.length - 1 }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    focusRow(Math.max(0, Math.min(items.length - 1, wanted)));
  };
  // No higher than its rows; the head is about a row high.
  return html`<div class="list" role="table" aria-label=${label} aria-rowcount=${items.length + 1} style=${{ maxHeight: `${(items.length + 1) * rowHeight + 4}px` }}>
    ${head && html`<div class="list-head" role="rowgroup"><div role="row" aria-rowindex="1" class="list-row">${head}</div></div>`}
    <div class="list-body" role="rowgroup" ref=${scroller} onScroll=${measure} onKeyDown=${move} tabindex="-1">
      <div class="list-space" role="presentation" style=${{ height: `${items.length * rowHeight}px` }}>
        ${shown.map(
          (item, n) => html`<div class="list-row" role="row" key=${keyOf(item)} data-row=${first + n} aria-rowindex=${first + n + 2}
            style=${{ transform: `translateY(${(first + n) * rowHeight}px)`, height: `${rowHeight}px` }}>${row(item, first + n)}</div>`,
        )}
      </div>
    </div>
  </div>`;
}
