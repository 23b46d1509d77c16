// The door of a new server is open to its own machine until somebody makes the first key.
import assert from 'node:assert/strict';
import { SAYS, axe } from './browser.mjs';
import { scenario } from './stage.mjs';

// Scenario: on a server without keys somebody makes the first one, while another looks at the fleet.
// Guarantees: the secret stays on the screen although the door has closed, its maker is logged in with it and stays so;
// the other is asked for a key, and gets back to where they were with it.
scenario('the first key closes the door', async (stage) => {
  const { server } = await stage.fleet(['data-1']);
  const { page: maker } = await stage.person('maker', server, { may: [SAYS.login] });
  const { page: other } = await stage.person('other', server, { may: [SAYS.login] });
  await other.goto('/fleet?q=data');
  await other.getByRole('link', { name: 'data-1', exact: true }).waitFor();
  await maker.goto('/access');
  await maker.getByText('Open access').waitFor();
  await maker.getByRole('button', { name: 'New key' }).click();
  const dialog = maker.getByRole('dialog', { name: 'New API key' });
  await dialog.getByText(/first key is an administrator's/).waitFor();
  assert.deepEqual(await axe(maker), []);
  await dialog.getByLabel('Name').fill('ada');
  await dialog.getByRole('button', { name: 'Create' }).click();

  const field = other.getByLabel('API key');
  await field.waitFor();
  const made = maker.getByRole('status').filter({ has: maker.getByRole('heading', { name: 'The key ada was created' }) });
  const secret = await made.locator('code').innerText();
  await field.fill(secret);
  await other.getByRole('button', { name: 'Log in with the key' }).click();
  await other.getByRole('link', { name: 'data-1', exact: true }).waitFor();
  assert.equal(new URL(other.url()).search, '?q=data');

  await maker.getByRole('cell', { name: 'ada', exact: true }).waitFor();
  await made.getByRole('button', { name: 'I have it' }).click();
  await made.waitFor({ state: 'detached' });
  await maker.getByRole('link', { name: 'System' }).click();
  await maker.getByRole('heading', { level: 1, name: 'System health' }).waitFor();
  await maker.getByRole('button', { name: 'Log out' }).waitFor();
});
