// A table of some dozen rows. On a phone each row becomes a block of "what: value" lines, so that nothing has to be
// scrolled sideways; the roles say that it still is a table.
import { Fragment, html, useState } from "./html.js";

/**
 * @template T
 * @typedef {object} Column
 * @property {string} name heading, and what stands before the value on a phone
 * @property {(row: T) => any} cell
 * @property {"number" | "act" | "long"} [kind] `number` is aligned right, `act` holds buttons (its heading is read out
 *   only), `long` gets the room that is left
 */

/**
 * @template T
 * @param {{ label: string, columns: Column<T>[], rows: T[], keyOf: (row: T) => string | number, more?: (row: T) => any }} props
 * `more` draws what a row hides until it is asked for.
 */
export function Table({ label, columns, rows, keyOf, more }) {
  const all = more ? columns.length + 1 : columns.length;
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${label}>
    <table class="table" role="table">
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(
            ({ name, kind }) => html`<th role="columnheader" scope="col" key=${name} class=${kind ? `col-${kind}` : undefined}>
              ${kind === "act" ? html`<span class="hidden">${name}</span>` : name}
            </th>`,
          )}
          ${more && html`<th role="columnheader" scope="col" class="col-act"><span class="hidden">Details</span></th>`}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map((row) => html`<${Row} key=${keyOf(row)} row=${row} columns=${columns} more=${more} all=${all} />`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {{ row: any, columns: Column<any>[], more?: (row: any) => any, all: number }} props */
function Row({ row, columns, more, all }) {
  const [isOpen, setOpen] = useState(false);
  return html`<${Fragment}>
    <tr role="row" class=${isOpen ? "is-open" : undefined}>
      ${columns.map(
        ({ name, kind, cell }) => html`<td role="cell" key=${name} data-name=${name} class=${kind ? `col-${kind}` : undefined}>${cell(row)}</td>`,
      )}
      ${more &&
      html`<td role="cell" class="col-act">
        <button type="button" class="button button-quiet button-small" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>Details</button>
      </td>`}
    </tr>
    ${more && isOpen && html`<tr role="row" class="row-more"><td role="cell" colspan=${all}>${more(row)}</td></tr>`}
  <//>`;
}
