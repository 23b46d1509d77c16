// Who gets in, what they may do there, and what becomes of their work when they are put out.
import assert from 'node:assert/strict';
import { SAYS, axe } from './browser.mjs';
import { Provider } from './provider.mjs';
import { keyOf, logIn, scenario } from './stage.mjs';
import { until } from './world.mjs';

const NAMES = ['research-1', 'data-1', 'data-2'];
const short = (page) => page.getByRole('region', { name: 'In short' });

// Scenario: a session ends, elsewhere, while its owner writes a decision; they log in again.
// Guarantees: the page asks for a login and leads back to the case; the text is there, and the decision is made.
scenario('a session ends in the middle', async (stage) => {
  const { agents, server, headers } = await stage.fleet(NAMES, { people: { olga: 'operator' } });
  agents.infect('data-1');
  const found = await server.caseOf('data-1', 'awaiting_approval', headers);
  await server.calm('data-1', headers);
  const { page, context } = await stage.person('olga', server, { may: [SAYS.login] });
  await page.goto(`/cases/${found.case_id}`);
  await logIn(page, 'olga');
  await page.getByText(/Contained: every lever has confirmed/).first().waitFor();
  await short(page).getByRole('button', { name: 'Approve healing' }).click();
  await short(page).getByRole('textbox', { name: 'Reason' }).fill('a long thought, typed at night');
  // Another tab of the same browser logs out.
  const other = await context.newPage();
  await other.goto('/system');
  await other.getByRole('button', { name: 'Log out' }).click();
  await other.getByLabel('API key').waitFor();
  await other.close();
  // The page may find out by itself, or when the decision is sent.
  const login = page.getByRole('heading', { name: 'Log in to Immune' });
  const sent = short(page).getByRole('form').getByRole('button', { name: 'Approve healing' }).click().catch(() => {});
  await login.waitFor();
  await sent;
  assert.deepEqual(await axe(page), []);
  await logIn(page, 'olga');
  const field = short(page).getByRole('textbox', { name: 'Reason' });
  await field.waitFor();
  assert.equal(await field.inputValue(), 'a long thought, typed at night');
  assert.equal(new URL(page.url()).pathname, `/cases/${found.case_id}`);
  await short(page).getByRole('form').getByRole('button', { name: 'Approve healing' }).click();
  const { last_decision: last } = await server.caseOf('data-1', 'healed', headers);
  assert.deepEqual([last.by, last.reason], ['olga', 'a long thought, typed at night']);
});

// Scenario: a wrong key, then a right one; afterwards the key is revoked in the product.
// Guarantees: a wrong key is refused in words; a revoked one ends the session that it opened.
scenario('a key opens and is taken away', async (stage) => {
  const { server } = await stage.fleet(NAMES, { people: { ada: 'admin' } });
  const { page: admin } = await stage.person('ada', server, { may: [SAYS.login] });
  await admin.goto('/access');
  await admin.getByLabel('API key').fill('a key that nobody ever had');
  await admin.getByRole('button', { name: 'Log in with the key' }).click();
  await admin.getByText(/not known|unknown/i).waitFor();
  await logIn(admin, 'ada');
  await admin.getByRole('button', { name: 'New key' }).click();
  const dialog = admin.getByRole('dialog', { name: 'New API key' });
  assert.deepEqual(await axe(admin), []);
  await dialog.getByLabel('Name').fill('night-shift');
  await dialog.getByLabel('Role').selectOption('operator');
  await dialog.getByRole('button', { name: 'Create' }).click();
  const made = admin.getByRole('status').filter({ has: admin.getByRole('heading', { name: 'The key night-shift was created' }) });
  const secret = await made.locator('code').innerText();
  await made.getByRole('button', { name: 'I have it' }).click();
  await made.waitFor({ state: 'detached' });

  const { page: night } = await stage.person('night-shift', server, { may: [SAYS.login] });
  await night.goto('/fleet');
  await night.getByLabel('API key').fill(secret);
  await night.getByRole('button', { name: 'Log in with the key' }).click();
  await night.getByRole('heading', { level: 1, name: 'Fleet' }).waitFor();

  await admin.getByRole('button', { name: 'Revoke night-shift' }).click();
  await admin.getByRole('dialog', { name: 'Revoke night-shift?' }).getByRole('button', { name: 'Revoke' }).click();
  await admin.getByRole('cell', { name: 'revoked by ada' }).waitFor();
  await until('the session that the key opened ends', async () => {
    await night.goto('/fleet');
    await night.getByRole('heading', { level: 1 }).waitFor();
    return (await night.getByRole('heading', { level: 1 }).innerText()) === 'Log in to Immune';
  });
});

// Scenario: a viewer looks at a case that waits, and asks the server itself to approve it, as a program would.
// Guarantees: no button decides anything; the server refuses, and the refusal is in the action log; nothing is healed.
scenario('a viewer looks and cannot decide', async (stage) => {
  const { agents, server, headers } = await stage.fleet(NAMES, { people: { vera: 'viewer', ada: 'admin' } });
  agents.infect('data-1');
  const found = await server.caseOf('data-1', 'awaiting_approval', headers);
  await server.calm('data-1', headers);
  const { page } = await stage.person('vera', server, { may: [SAYS.login, SAYS.refused] });
  await page.goto(`/cases/${found.case_id}`);
  await logIn(page, 'vera');
  await short(page).getByText('You may look but not decide').waitFor();
  const usable = async () => {
    const verbs = page.getByRole('button', { name: /^(Approve healing|Reject healing|Release as it is|Heal now|Report as infected)/ });
    return (await Promise.all((await verbs.all()).map((button) => button.isEnabled()))).filter(Boolean).length;
  };
  for (const path of [`/cases/${found.case_id}`, '/approvals', '/agents/data-1', '/agents/data-2']) {
    await page.goto(path);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForFunction(() => !/^Loading.* …$/m.test(document.body.innerText));
    assert.equal(await usable(), 0, path);
  }
  assert.equal(await page.getByRole('link', { name: 'Access', exact: true }).count(), 0);
  // Even with her session's own token.
  const status = await page.evaluate(async (id) => {
    const { csrf } = await (await fetch('/api/me')).json();
    const answer = await fetch(`/api/cases/${id}/approve`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-csrf-token': csrf }, body: '{"reason":"let me"}' });
    return answer.status;
  }, found.case_id);
  assert.equal(status, 403);
  const rows = await server.get('/api/action-log?outcome=refused&limit=20', { authorization: `Bearer ${keyOf('ada')}` });
  assert.ok(rows.some((row) => row.actor === 'vera'), JSON.stringify(rows));
  assert.equal((await server.get(`/api/cases/${found.case_id}`, headers)).state, 'awaiting_approval');
});

// Scenario: a stranger opens every page; then somebody comes through the OpenID provider, decides, and logs out.
// Guarantees: a stranger sees nothing but the way in; who came through the provider comes back to where they wanted to
// go, decides under the name that the provider vouches for, and is a stranger again after logging out.
scenario('in through the OpenID provider', async (stage) => {
  const provider = stage.keeps(await Provider.start());
  const { agents, server, headers } = await stage.fleet(NAMES, { oidc: (base) => provider.settings(base) });
  await provider.introduce(server.base);
  agents.infect('data-2');
  const found = await server.caseOf('data-2', 'awaiting_approval', headers);
  await server.calm('data-2', headers);
  const { page } = await stage.person('alice', server, { may: [SAYS.login], hosts: [new URL(provider.issuer).host] });
  for (const path of ['/fleet', '/approvals', '/log', '/system', `/cases/${found.case_id}`]) {
    await page.goto(path);
    await page.getByRole('link', { name: 'Log in with Example SSO' }).waitFor();
    assert.doesNotMatch(await page.locator('body').innerText(), /data-|research-/);
  }
  assert.deepEqual(await axe(page), []);
  await page.getByRole('link', { name: 'Log in with Example SSO' }).click();
  await page.locator('input[name=login]').fill('alice');
  await page.locator('input[name=password]').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await short(page).getByRole('button', { name: 'Approve healing' }).waitFor();
  assert.equal(new URL(page.url()).pathname, `/cases/${found.case_id}`);
  await page.getByText(/Contained: every lever has confirmed/).first().waitFor();
  await short(page).getByRole('button', { name: 'Approve healing' }).click();
  await short(page).getByRole('textbox', { name: 'Reason' }).fill('seen');
  await short(page).getByRole('form').getByRole('button', { name: 'Approve healing' }).click();
  const { last_decision: last } = await server.caseOf('data-2', 'healed', headers);
  assert.equal(last.by, 'alice@example.com');
  await page.getByRole('button', { name: 'Log out' }).click();
  const out = page.getByRole('button', { name: /sign me out/i });
  await out.or(page.getByRole('heading', { name: 'Log in to Immune' })).waitFor();
  if (await out.isVisible()) await out.click();
  await page.goto(`/cases/${found.case_id}`);
  await page.getByRole('link', { name: 'Log in with Example SSO' }).waitFor();
});
