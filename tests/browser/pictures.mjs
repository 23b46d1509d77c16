// The pictures of the README, of `immune demo` as it is: `node tests/browser/pictures.mjs`.
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { close, person, settled } from './browser.mjs';
import { until } from './world.mjs';

const BINARY = fileURLToPath(new URL('../../target/debug/immune', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../docs/screenshots/', import.meta.url));
/** Long enough for lines that look like something, milliseconds. */
const DEADLINE = 180_000;

await mkdir(FOLDER, { recursive: true });
const demo = spawn(BINARY, ['demo', '--any-ports', '--infect-every', '25', '--seed', '3'], { stdio: ['ignore', 'pipe', 'inherit'] });
try {
  const base = await new Promise((resolve, reject) => {
    createInterface({ input: demo.stdout }).on('line', (line) => /look at/.test(line) && resolve(line.trim().split(/\s+/).at(-1)));
    demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}`)));
  });
  const get = async (path) => (await fetch(base + path)).json();
  const waiting = await until('two agents are ill and wait for a person', async () => {
    const open = await get('/api/cases?open=true&limit=10');
    return open.length === 2 && open.every((one) => one.state === 'awaiting_approval' && one.quarantine.phase === 'confirmed') ? open : null;
  }, DEADLINE);
  const worst = waiting.sort((a, b) => b.severity - a.severity)[0];
  const { page } = await person(base, { width: 1280, height: 860 });
  const take = (name) => page.screenshot({ path: `${FOLDER}${name}.png` });
  await page.goto('/fleet');
  await page.getByRole('img', { name: /^latest latency/ }).first().waitFor();
  await take('fleet');
  await page.goto('/approvals');
  await settled(page, 'Approvals');
  await take('approvals');
  await page.goto(`/cases/${worst.case_id}`);
  await settled(page, new RegExp(worst.agent_id));
  await page.setViewportSize({ width: 1280, height: 1240 });
  await take('case');
} finally {
  await close();
  demo.kill();
}
