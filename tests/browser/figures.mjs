// Figures of the page on this machine: `node tests/browser/figures.mjs`. IMMUNE_BINARY names the binary to measure.
import { close, person } from './browser.mjs';
import { MANY, firstView, nameOf, populate, scroll, watch } from './many.mjs';
import { Agents, POLICY, Server } from './world.mjs';

const VIEWS = 5;
const EVENTS = 100;
const WATCHED = Array.from({ length: EVENTS }, (_, n) => `watched-${String(n).padStart(3, '0')}`);

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];
const say = (what, text) => console.log(`${what.padEnd(60)} ${text}`);
const millis = (value) => `${Math.round(value)} ms`;

/** What a first visit of the fleet loads, bytes as sent: files of the page, and data. */
async function weight(server) {
  const { page, context, leave } = await person(server.base);
  const session = await context.newCDPSession(page);
  await session.send('Network.enable');
  const paths = new Map();
  const sizes = { files: 0, data: 0 };
  session.on('Network.requestWillBeSent', ({ requestId, request }) => paths.set(requestId, new URL(request.url).pathname));
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    sizes[paths.get(requestId)?.startsWith('/api/') ? 'data' : 'files'] += encodedDataLength;
  });
  await page.goto('/fleet');
  await page.getByRole('table', { name: 'Agents' }).waitFor();
  const fleet = { ...sizes };
  // What the other pages add, charts included.
  for (const name of ['Approvals', 'Cases', 'Memory', 'Action log', 'Policy', 'Notifications', 'Access', 'System']) {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('load');
  }
  await page.goto(`/agents/${nameOf(0)}`);
  await page.getByRole('heading', { level: 1, name: nameOf(0) }).waitFor();
  await page.getByRole('heading', { level: 2, name: 'Vitals' }).waitFor();
  await leave();
  return { fleet, files: sizes.files };
}

/** From the opening of a case, by the server's clock, to the frame that shows it in the fleet's row; one after another. */
async function eventToPage(server) {
  const { page, leave } = await person(server.base, { height: 600 });
  await page.goto('/fleet?q=watched-&sort=agent');
  await page.getByRole('link', { name: WATCHED[0], exact: true }).waitFor();
  const times = [];
  for (const name of WATCHED) {
    await page.getByRole('searchbox', { name: 'Search agents' }).fill(name);
    await page.getByRole('link', { name, exact: true }).waitFor();
    const shown = page.evaluate((id) => new Promise((resolve) => {
      const look = () => {
        const row = [...document.querySelectorAll('[data-row]')].find((each) => each.textContent.includes(id));
        if (row?.textContent.includes('Waits for a person')) resolve(Date.now());
        else requestAnimationFrame(look);
      };
      look();
    }), name);
    const answer = await server.post(`/api/agents/${name}/infected`, { reason: 'a figure' });
    if (!answer.ok) throw new Error(`reporting ${name}: ${answer.status} ${await answer.text()}`);
    const { case_id: id } = await answer.json();
    const at = await shown;
    times.push(at - (await server.get(`/api/cases/${id}`)).opened_at * 1_000);
  }
  await leave();
  return times;
}

const agents = await Agents.start(WATCHED);
const server = await Server.start({ lifecycle: agents.lifecycle, settings: { policy: POLICY } });
try {
  await agents.once(WATCHED, server.otlp);
  await populate(server, MANY);
  const { fleet, files } = await weight(server);
  say('page, as sent: first visit of the fleet', `${(fleet.files / 1_000).toFixed(0)} kB`);
  say('page, as sent: every page', `${(files / 1_000).toFixed(0)} kB`);
  say(`data, as sent: first visit with ${MANY} agents`, `${(fleet.data / 1_000).toFixed(0)} kB`);
  const views = [];
  let longest = 0;
  for (let n = 0; n < VIEWS; n += 1) {
    const { page, context, leave } = await person(server.base);
    await watch(context);
    views.push(await firstView(page));
    longest = Math.max(longest, await scroll(page));
    await leave();
  }
  say(`first view of ${MANY} agents, empty cache (median, slowest of ${VIEWS})`, `${millis(quantile(views, 0.5))}, ${millis(Math.max(...views))}`);
  say(`longest task while scrolling ${MANY} agents`, millis(longest));
  const times = await eventToPage(server);
  say(`case opened to visible in the row of ${MANY} agents (p50, p99 of ${EVENTS})`, `${millis(quantile(times, 0.5))}, ${millis(quantile(times, 0.99))}`);
} finally {
  await close();
  agents.stop();
  await server.stop();
}
