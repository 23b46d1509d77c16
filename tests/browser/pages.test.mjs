// Every page as it stands: for everybody, in both themes, on a desk and on a phone; and what stays in the address.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axe, close, overhang, person, picture, settled } from './browser.mjs';
import { Agents, POLICY, Server } from './world.mjs';

const NAMES = Array.from({ length: 12 }, (_, n) => `${['research', 'data', 'coordinator'][n % 3]}-${n + 1}`);
const ILL = 'data-2';
const HEALED = 'research-4';
let agents;
let server;
let healed;
let waiting;

before(async () => {
  agents = await Agents.start(NAMES);
  server = await Server.start({
    lifecycle: agents.lifecycle,
    settings: { policy: POLICY },
  });
  agents.run(server.otlp);
  await server.learned(NAMES);
  agents.infect(HEALED);
  healed = (await server.caseOf(HEALED, 'awaiting_approval')).case_id;
  await server.post(`/api/cases/${healed}/approve`, { reason: 'known since the last deployment' });
  agents.infect(ILL);
  await server.caseOf(HEALED, 'healed');
  waiting = (await server.caseOf(ILL, 'awaiting_approval')).case_id;
  await server.post('/api/keys', { name: 'night-shift', role: 'operator', expires_in_seconds: 86_400 });
});

after(async () => {
  await close();
  agents?.stop();
  await server?.stop();
});

/** Name, path, heading. */
const PAGES = [
  ['fleet', '/fleet', 'Fleet'],
  ['agent', `/agents/${ILL}`, ILL],
  ['approvals', '/approvals', 'Approvals'],
  ['cases', '/cases', 'Cases'],
  ['case', () => `/cases/${waiting}`, new RegExp(ILL)],
  ['case-healed', () => `/cases/${healed}`, new RegExp(HEALED)],
  ['memory', '/memory', 'Immune memory'],
  ['log', '/log', 'Action log'],
  ['policy', '/policy', 'Policy'],
  ['system', '/system', 'System health'],
  ['access', '/access', 'API keys'],
  ['notifications', '/notifications', 'Notifications'],
  ['login', '/login', 'Log in to Immune'],
];

for (const [name, path, heading] of PAGES) {
  // Scenario: a page is opened in light and dark, at 1280 and at 360 pixels.
  // Guarantees: axe finds nothing, nothing hangs over the edge, and the browser has nothing to complain of.
  test(`the page ${name} is for everybody`, { timeout: 90_000 }, async () => {
    const found = [];
    for (const scheme of ['light', 'dark']) {
      const { page, leave } = await person(server.base, { scheme });
      await page.goto(typeof path === 'function' ? path() : path);
      await settled(page, heading);
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        await page.waitForFunction((width) => window.innerWidth === width, width);
        const over = await overhang(page);
        if (over > 0) found.push(`${scheme} at ${width}: ${over} pixels over the edge`);
        await picture(page, `${name}-${width}-${scheme}`);
        for (const line of await axe(page)) found.push(`${scheme} at ${width}: ${line}`);
      }
      await leave();
    }
    assert.deepEqual(found, []);
  });
}

// Scenario: somebody searches and filters the fleet, and loads the page again.
// Guarantees: both stand in the address, and still hold.
test('what is searched and filtered stays in the address', async () => {
  const { page, leave } = await person(server.base);
  await page.goto('/fleet');
  const rows = page.getByRole('table', { name: 'Agents' }).getByRole('row');
  const holds = async () => {
    await page.getByRole('link', { name: 'data-11', exact: true }).waitFor();
    await page.getByRole('link', { name: 'research-1', exact: true }).waitFor({ state: 'detached' });
    // The heading is a row, too; of the agents called data, four are healthy or just healed.
    assert.equal(await rows.count(), 1 + 3);
  };
  await page.getByRole('searchbox', { name: 'Search agents' }).fill('data');
  await page.getByRole('group', { name: 'Only agents that are' }).getByRole('button', { name: /^Healthy/ }).click();
  await holds();
  assert.equal(new URL(page.url()).search, '?q=data&status=healthy');
  await page.reload();
  await holds();
  assert.equal(await page.getByRole('searchbox', { name: 'Search agents' }).inputValue(), 'data');
  await leave();
});

// Scenario: addresses that nobody has: an agent, a case, a page.
// Guarantees: each says so in words and shows a way on.
test('what is not there is said', async () => {
  const { page, leave } = await person(server.base, { may: [/status of 404/] });
  await page.goto('/agents/nobody');
  await page.getByRole('heading', { name: 'Nobody has seen this agent' }).waitFor();
  assert.deepEqual(await axe(page), []);
  await page.goto('/cases/00000000-0000-7000-8000-000000000000');
  await page.getByRole('alert').getByRole('button', { name: 'Try again' }).waitFor();
  assert.deepEqual(await axe(page), []);
  await leave();
});

// Scenario: somebody freezes an agent's baseline, is asked why, lets it learn again, exports it and gives it to another agent.
// Guarantees: nothing happens without a reason; each act shows in the panel and in the action log; the file that was exported
// is the one that is taken.
test('what is normal is looked after', async () => {
  const { page, leave } = await person(server.base);
  const panel = page.getByRole('region', { name: 'Baseline' });
  const act = async (button, reason, prepare = async () => {}) => {
    await panel.getByRole('button', { name: button, exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: button, exact: true }).click();
    await dialog.getByText('Say why').waitFor();
    assert.deepEqual(await axe(page), []);
    await prepare(dialog);
    await dialog.getByLabel('Why?').fill(reason);
    await dialog.getByRole('button', { name: button, exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
  };
  await page.goto('/agents/data-5');
  await act('Freeze', 'a release is under way');
  await panel.getByText('It is frozen').waitFor();
  const downloading = page.waitForEvent('download');
  await panel.getByRole('button', { name: 'Export' }).click();
  const file = await (await downloading).path();
  await act('Let it learn', 'it is out');
  await panel.getByText('It is frozen').waitFor({ state: 'detached' });
  await page.goto('/agents/data-8');
  await act('Import', 'it does the same work', (dialog) => dialog.getByLabel('File').setInputFiles(file));
  await page.getByText('imported by a person').waitFor();
  await page.goto('/log');
  for (const reason of ['a release is under way', 'it is out', 'it does the same work']) {
    await page.getByText(reason).first().waitFor();
  }
  await leave();
});
