// What a person does with an agent that has fallen ill, from seeing it to letting it go.
import assert from 'node:assert/strict';
import { SAYS } from './browser.mjs';
import { logIn, scenario } from './stage.mjs';
import { until } from './world.mjs';

const NAMES = ['research-1', 'data-1', 'data-2', 'data-3'];

/** A row of the fleet, by the agent's id. */
const row = (page, id) => page.getByRole('table', { name: 'Agents' }).getByRole('row').filter({ has: page.getByRole('link', { name: id, exact: true }) });
/** The part of a page of a case that says how it stands and takes the decision. */
const short = (page) => page.getByRole('region', { name: 'In short' });
/** A card of the inbox, by the agent's id. */
const card = (page, id) => page.getByRole('article', { name: id });

// Scenario: somebody watches the fleet while an agent falls ill, opens its case, and approves with a reason.
// Guarantees: the illness, the containment, the healing and the release all appear by themselves; who decided and why is
// on the timeline and in the action log; the agent runs again.
scenario('seen, opened, approved, healed', async (stage) => {
  const { agents, server } = await stage.fleet(NAMES);
  const { page } = await stage.person('operator', server);
  await page.goto('/fleet');
  await row(page, 'data-1').getByText('Healthy').waitFor();
  agents.infect('data-1');
  await row(page, 'data-1').getByText('Waits for a person').waitFor();
  await page.getByRole('navigation', { name: 'Pages' }).getByText('1', { exact: true }).waitFor();
  await server.calm('data-1');
  await row(page, 'data-1').getByRole('link', { name: /case of data-1/ }).click();

  await page.getByRole('heading', { level: 1, name: /data-1/ }).waitFor();
  await short(page).getByText('Contained: every lever has confirmed').waitFor();
  await short(page).getByText(/standard deviations above normal/).waitFor();
  await page.getByText(/Contained: every lever has confirmed/).first().waitFor();
  await short(page).getByText('What happens next:').waitFor();
  await short(page).getByRole('button', { name: 'Approve healing' }).click();
  const form = page.getByRole('form', { name: 'Approve healing: data-1' });
  await form.getByRole('textbox', { name: 'Reason' }).fill('known fault of the last deployment');
  await form.getByRole('button', { name: 'Approve healing' }).click();

  await short(page).getByText('How it ended:').waitFor();
  const timeline = page.getByRole('region', { name: 'Timeline' });
  await timeline.getByText('Healing approved by loopback').waitFor();
  await timeline.getByText(/known fault of the last deployment/i).waitFor();
  await timeline.getByText('Free to act again').waitFor();
  assert.equal(agents.isHeld('data-1'), false);
  assert.equal(agents.isIll('data-1'), false);

  await page.getByRole('link', { name: 'Fleet', exact: true }).click();
  await row(page, 'data-1').getByText('Healthy').waitFor();
  await page.getByRole('link', { name: 'Action log', exact: true }).click();
  const log = page.getByRole('region', { name: 'Action log' }).getByRole('row').filter({ hasText: 'known fault of the last deployment' });
  await log.getByRole('cell', { name: 'loopback' }).first().waitFor();
});

// Scenario: somebody rejects the healing, thinks again, and orders to heal now.
// Guarantees: a rejected agent stays contained and ill, and is listed as rejected; healing now heals and releases it.
scenario('rejected, then healed now', async (stage) => {
  const { agents, server } = await stage.fleet(NAMES);
  const { page } = await stage.person('operator', server);
  await page.goto('/approvals');
  await page.getByRole('heading', { name: 'Nothing waits for a person' }).waitFor();
  agents.infect('data-2');
  await server.calm('data-2');
  await card(page, 'data-2').getByText(/Contained: every lever has confirmed/).first().waitFor();
  await card(page, 'data-2').getByRole('button', { name: 'Reject healing' }).click();
  await card(page, 'data-2').getByRole('textbox', { name: 'Reason' }).fill('keep it for the post-mortem');
  await card(page, 'data-2').getByRole('button', { name: 'Reject healing' }).click();
  await page.getByRole('article', { name: 'data-2, decided' }).getByText('You rejected healing').waitFor();
  await server.caseOf('data-2', 'rejected');
  assert.equal(agents.isHeld('data-2'), true);
  await page.getByRole('group', { name: 'Which cases' }).getByRole('button', { name: 'Rejected 1' }).click();
  await card(page, 'data-2').getByText('keep it for the post-mortem').waitFor();
  await card(page, 'data-2').getByRole('button', { name: 'Heal now' }).click();
  await card(page, 'data-2').getByRole('textbox', { name: 'Reason' }).fill('seen enough');
  await card(page, 'data-2').getByRole('button', { name: 'Heal now' }).click();
  await server.caseOf('data-2', 'healed');
  await page.getByRole('article', { name: 'data-2, decided' }).getByText(/Healed by/).waitFor();
  await until('the agent runs', () => !agents.isHeld('data-2'));
  assert.equal(agents.isIll('data-2'), false);
});

// Scenario: the answer to a decision is slow; the event that tells of it comes first, and the person has turned to the list
// of rejected cases meanwhile.
// Guarantees: nobody is told that their own word was somebody else's, faster than theirs.
scenario("one's own word comes back before its answer", async (stage) => {
  const { agents, server } = await stage.fleet(NAMES);
  const { page } = await stage.person('operator', server);
  await page.goto('/approvals');
  agents.infect('data-1');
  await server.calm('data-1');
  let answer = () => {};
  const held = new Promise((resolve) => (answer = resolve));
  await page.route('**/reject', async (route) => {
    const response = await route.fetch();
    await held;
    await route.fulfill({ response });
  });
  await card(page, 'data-1').getByRole('button', { name: 'Reject healing' }).click();
  await card(page, 'data-1').getByRole('textbox', { name: 'Reason' }).fill('not now');
  await card(page, 'data-1').getByRole('button', { name: 'Reject healing' }).click();
  await server.caseOf('data-1', 'rejected');
  await page.getByRole('group', { name: 'Which cases' }).getByRole('button', { name: 'Rejected 1' }).click();
  await card(page, 'data-1').getByRole('button', { name: 'Heal now' }).waitFor();
  assert.equal(await page.getByText('before you').count(), 0);
  const answered = page.waitForResponse('**/reject');
  answer();
  await answered;
  await card(page, 'data-1').getByRole('button', { name: 'Heal now' }).click();
  await card(page, 'data-1').getByRole('textbox', { name: 'Reason' }).fill('now');
  await card(page, 'data-1').getByRole('button', { name: 'Heal now' }).click();
  await server.caseOf('data-1', 'healed');
  assert.equal(await page.getByText('before you').count(), 0);
});

// Scenario: two people write a decision on the same case; one sends it first.
// Guarantees: one decision is made; the other person is told who made it and why, and has every word that they typed.
scenario('of two people one wins', async (stage) => {
  const { agents, server, headers } = await stage.fleet(NAMES, { people: { alma: 'operator', bruno: 'operator' } });
  const alma = await stage.person('alma', server, { may: [SAYS.login] });
  const bruno = await stage.person('bruno', server, { may: [SAYS.login] });
  agents.infect('data-3');
  const found = await server.caseOf('data-3', 'awaiting_approval', headers);
  await server.calm('data-3', headers);
  for (const { page, name } of [alma, bruno]) {
    await page.goto(`/cases/${found.case_id}`);
    await logIn(page, name);
    await short(page).getByRole('button', { name: 'Reject healing' }).waitFor();
    await page.getByText(/Contained: every lever has confirmed/).first().waitFor();
  }
  await short(bruno.page).getByRole('button', { name: 'Reject healing' }).click();
  await short(bruno.page).getByRole('textbox', { name: 'Reason' }).fill('I want to look at its memory first');
  await short(alma.page).getByRole('button', { name: 'Approve healing' }).click();
  await short(alma.page).getByRole('textbox', { name: 'Reason' }).fill('customers wait');
  await short(alma.page).getByRole('form').getByRole('button', { name: 'Approve healing' }).click();
  const told = short(bruno.page).getByRole('alert');
  await told.getByText(/alma approved healing.*before you/).waitFor();
  await told.getByText('customers wait').waitFor();
  await told.getByText('I want to look at its memory first').waitFor();
  await server.caseOf('data-3', 'healed', headers);
  const whole = await server.get(`/api/cases/${found.case_id}`, headers);
  assert.deepEqual([whole.last_decision.by, whole.last_decision.decision], ['alma', 'approve']);
});

// Scenario: an inbox is worked with the keyboard alone: two cases, the keys of the page, and no mouse.
// Guarantees: everything is reachable, what is current is visible to assistive technology, and both decisions are made.
scenario('decided by keyboard', async (stage) => {
  const { agents, server } = await stage.fleet(NAMES);
  agents.infect('data-1');
  agents.infect('data-2');
  await server.caseOf('data-1', 'awaiting_approval');
  await server.caseOf('data-2', 'awaiting_approval');
  // What is decided is what was seen: a case that moves meanwhile is asked about again.
  for (const id of ['data-1', 'data-2']) await server.calm(id);
  const { page } = await stage.person('operator', server);
  await page.goto('/fleet');
  // From the top of the page: past the skip link to the inbox.
  await page.getByRole('link', { name: 'Approvals' }).waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to the content');
  for (let n = 0; n < 10 && !(await page.evaluate(() => document.activeElement?.textContent?.startsWith('Approvals'))); n += 1) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  // They get no worse than this: whoever decides sees the last word.
  for (const id of ['data-1', 'data-2']) await card(page, id).getByText(/Contained: every lever has confirmed/).first().waitFor();
  for (let n = 0; n < 2; n += 1) {
    await page.keyboard.press('j');
    await page.keyboard.press(n === 0 ? 'a' : 'r');
    await page.waitForFunction(() => document.activeElement?.tagName === 'TEXTAREA');
    await page.keyboard.type(n === 0 ? 'by keyboard' : 'no');
    await page.keyboard.press('Control+Enter');
    await page.getByRole('article', { name: /, decided$/ }).nth(n).waitFor();
  }
  const cases = await server.get('/api/cases?limit=10');
  assert.deepEqual(cases.map((one) => one.last_decision?.decision).sort(), ['approve', 'reject']);
  assert.deepEqual(cases.map((one) => one.last_decision?.reason).sort(), ['by keyboard', 'no']);
});

// Scenario: several cases are chosen and approved with one reason.
// Guarantees: each is decided with that reason.
scenario('several at once', async (stage) => {
  const { agents, server } = await stage.fleet(NAMES);
  const ill = ['data-1', 'data-2', 'data-3'];
  for (const name of ill) agents.infect(name);
  for (const name of ill) await server.caseOf(name, 'awaiting_approval');
  for (const name of ill) await server.calm(name);
  const { page } = await stage.person('operator', server);
  await page.goto('/approvals');
  for (const id of ill) await card(page, id).getByText(/Contained: every lever has confirmed/).first().waitFor();
  await page.getByRole('checkbox', { name: 'Select all 3' }).check();
  const several = page.getByRole('region', { name: 'Several at once' });
  await several.getByRole('button', { name: 'Approve healing' }).click();
  await several.getByRole('textbox', { name: 'One reason for all' }).fill('one deployment, one fault');
  await several.getByRole('button', { name: 'Approve healing: 3' }).click();
  await page.getByText('3 of 3 decided.').waitFor();
  for (const name of ill) {
    const { last_decision: last } = await server.caseOf(name, 'healed');
    assert.equal(last.reason, 'one deployment, one fault');
  }
});

// Scenario: an agent that policy only watches is a little ill, so that the rule alone tells it, and then very ill, while its
// case is open on the page.
// Guarantees: the page follows: whoever decides sees how bad it is now.
scenario('what grows worse shows', async (stage) => {
  const { agents, server } = await stage.fleet(NAMES, { policy: { mode: 'observe', detector: 'specified' } });
  agents.infect('data-1', 1.4);
  const found = await server.caseOf('data-1', 'awaiting_approval');
  assert.ok(found.severity < 9, `${found.severity}`);
  const { page } = await stage.person('operator', server);
  await page.goto(`/cases/${found.case_id}`);
  const inbox = await page.context().newPage();
  await inbox.goto('/approvals');
  await card(inbox, 'data-1').getByText(/severe|moderate/).waitFor();
  await short(page).getByRole('button', { name: 'Approve healing' }).waitFor();
  agents.infect('data-1', 10);
  await page.getByText('critical', { exact: true }).waitFor();
  await card(inbox, 'data-1').getByText('critical', { exact: true }).waitFor();
});
