// A fleet of ten thousand.
import assert from 'node:assert/strict';
import { axe } from './browser.mjs';
import { MANY, firstView, nameOf, populate, scroll, watch } from './many.mjs';
import { scenario } from './stage.mjs';

// Scenario: the fleet has ten thousand agents; somebody opens it, scrolls to the end, searches, and follows a link.
// Guarantees: only the rows in view exist; the last agent is reachable; a search finds one of ten thousand, and stays in
// the address. Times are printed; what they should be is for `figures.mjs` to say.
scenario('ten thousand agents', async (stage) => {
  const { server } = await stage.fleet(['first-1']);
  await populate(server, MANY);
  const { page, context } = await stage.person('operator', server, { isTraced: false });
  await watch(context);
  const first = await firstView(page);
  console.log(`first view of ${MANY} agents: ${Math.round(first)} ms`);
  const table = page.getByRole('table', { name: 'Agents' });
  assert.ok((await table.getByRole('row').count()) < 100);
  assert.equal(await table.getAttribute('aria-rowcount'), String(MANY + 2));
  const longest = await scroll(page);
  console.log(`longest task while scrolling: ${Math.round(longest)} ms`);
  assert.deepEqual(await axe(page), []);

  const last = nameOf(MANY - 1);
  await page.getByRole('searchbox', { name: 'Search agents' }).fill(last);
  await table.getByRole('link', { name: last, exact: true }).waitFor();
  await page.reload();
  await table.getByRole('link', { name: last, exact: true }).waitFor();
  assert.equal(await table.getByRole('row').count(), 2);
  await table.getByRole('link', { name: last, exact: true }).click();
  await page.getByRole('heading', { level: 1, name: last }).waitFor();
}, { timeout: 180_000 });
