// The server goes away and comes back while the page is open.
import assert from 'node:assert/strict';
import { SAYS } from './browser.mjs';
import { scenario } from './stage.mjs';

const NAMES = ['research-1', 'data-1', 'data-2', 'data-3'];
const row = (page, id) => page.getByRole('table', { name: 'Agents' }).getByRole('row').filter({ has: page.getByRole('link', { name: id, exact: true }) });

// Scenario: the server is killed while somebody looks at the fleet and another writes a decision; it is started again,
// an agent falls ill before the pages are back, and the decision is sent.
// Guarantees: both pages say that they are disconnected and come back without being loaded again; what happened while
// they were away is shown; the text is still there, and the decision is made.
scenario('the server is killed and comes back', async (stage) => {
  const { agents, server } = await stage.fleet(NAMES);
  agents.infect('data-1');
  const found = await server.caseOf('data-1', 'awaiting_approval');
  await server.calm('data-1');
  const { page: fleet } = await stage.person('watcher', server, { may: [SAYS.away] });
  const { page: writer } = await stage.person('writer', server, { may: [SAYS.away] });
  await fleet.goto('/fleet');
  await row(fleet, 'data-2').getByText('Healthy').waitFor();
  await writer.goto(`/cases/${found.case_id}`);
  await writer.getByText(/Contained: every lever has confirmed/).first().waitFor();
  const short = writer.getByRole('region', { name: 'In short' });
  await short.getByRole('button', { name: 'Approve healing' }).click();
  await short.getByRole('textbox', { name: 'Reason' }).fill('written while the server was away');
  // A page that is loaded again has forgotten this.
  for (const page of [fleet, writer]) await page.evaluate(() => (globalThis.wasHere = true));

  await server.end('SIGKILL');
  for (const page of [fleet, writer]) await page.getByText('Disconnected', { exact: true }).waitFor();
  await short.getByRole('form').getByRole('button', { name: 'Approve healing' }).click();
  await short.getByRole('alert').getByText(/Your text is kept/).waitFor();
  agents.infect('data-2');
  await server.begin();
  await server.caseOf('data-2', 'awaiting_approval');

  for (const page of [fleet, writer]) await page.getByText('Disconnected', { exact: true }).waitFor({ state: 'detached' });
  await row(fleet, 'data-2').getByText('Waits for a person').waitFor();
  assert.equal(await short.getByRole('textbox', { name: 'Reason' }).inputValue(), 'written while the server was away');
  await short.getByRole('form').getByRole('button', { name: 'Approve healing' }).click();
  const { last_decision: last } = await server.caseOf('data-1', 'healed');
  assert.equal(last.reason, 'written while the server was away');
  await row(fleet, 'data-1').getByText('Healthy').waitFor();
  for (const page of [fleet, writer]) assert.equal(await page.evaluate(() => globalThis.wasHere), true);
});
