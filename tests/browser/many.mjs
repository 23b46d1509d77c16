// Ten thousand agents: making them known, and what the page feels like with them.
import { Agents, until } from './world.mjs';

export const MANY = 10_000;
/** Agents in one export: three spans each. */
const BATCH = 500;

export const nameOf = (n) => `${['research', 'data', 'coordinator', 'support'][n % 4]}-${String(n).padStart(5, '0')}`;

/** Lets agents execute once each, until the fleet has them all. */
export async function populate(server, count = MANY) {
  const agents = await Agents.start([]);
  try {
    const names = Array.from({ length: count }, (_, n) => nameOf(n));
    for (let n = 0; n < count; n += BATCH) await agents.once(names.slice(n, n + BATCH), server.otlp);
    await until(`${count} agents are known`, async () => (await server.get('/api/fleet')).agents.length >= count);
  } finally {
    agents.stop();
  }
}

/** Notes in every page of a person when its first agent was drawn, and how long the longest task took. */
export async function watch(context) {
  await context.addInitScript(() => {
    globalThis.seen = { first: null, longest: 0 };
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) globalThis.seen.longest = Math.max(globalThis.seen.longest, task.duration);
    }).observe({ type: 'longtask', buffered: true });
    const look = () => {
      if (document.querySelector('[role=table] [data-row] a')) requestAnimationFrame(() => (globalThis.seen.first = performance.now()));
      else requestAnimationFrame(look);
    };
    look();
  });
}

/** From the start of the navigation to the first agent on the screen, milliseconds. */
export async function firstView(page) {
  await page.goto('/fleet');
  return (await page.waitForFunction(() => globalThis.seen.first)).jsonValue();
}

/** Scrolls through the list to its end and back, and says how long the longest task took, milliseconds. */
export async function scroll(page) {
  await page.evaluate(() => (globalThis.seen.longest = 0));
  await page.getByRole('table', { name: 'Agents' }).hover();
  for (const by of [600, 40_000, 40_000, 600, -600, -80_000]) {
    for (let n = 0; n < 5; n += 1) await page.mouse.wheel(0, by);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
  return page.evaluate(() => globalThis.seen.longest);
}
