// Chromium, and what every page promises: it asks nobody but its own server, has nothing to complain of on the console,
// and does nothing that its Content-Security-Policy had to stop.
import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

/** Where pictures are kept, and what helps to understand a failure. */
export const ARTIFACTS = fileURLToPath(new URL('../../target/browser', import.meta.url));
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser;

/** Debian's Chromium, one for all tests of a file. */
export function open() {
  browser ??= chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Chromium refuses to run as root with its sandbox, and tests may run as root; it sees only our own pages.
    args: ['--disable-background-networking', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])],
  });
  return browser;
}

export async function close() {
  const ending = browser;
  browser = undefined;
  await (await ending)?.close();
}

/** What a browser may say because a test wanted it so. */
export const SAYS = {
  /** Somebody who is not logged in asked. */
  login: /status of 401/,
  /** A decision was refused. */
  refused: /status of (403|409|412|422)/,
  /** Nobody asked for is there. */
  absent: /status of 404/,
  /** The server was away. */
  away: /net::ERR_|status of 50\d/,
};

/**
 * Somebody with a browser of their own.
 * @param {string} base address of the server
 * @param {{ width?: number, height?: number, scheme?: 'light' | 'dark', may?: RegExp[], hosts?: string[] }} options
 *   `may`: what the browser may say on its console; `hosts`: others whose pages may be visited, and are not judged
 */
export async function person(base, { width = 1280, height = 800, scheme = 'light', may = [], hosts = [] } = {}) {
  const context = await (await open()).newContext({ baseURL: base, viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' });
  const troubles = [];
  const own = new URL(base).host;
  const known = new Set([own, ...hosts]);
  const isOurs = (address) => !hosts.includes(URL.canParse(address) ? new URL(address).host : own);
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`the policy stopped ${event.violatedDirective}: ${event.blockedURI}`));
  });
  context.on('weberror', (error) => troubles.push(`uncaught: ${error.error().message}`));
  context.on('console', (message) => {
    const text = message.text();
    const isWrong = ['error', 'warning'].includes(message.type()) && !may.some((pattern) => pattern.test(text));
    if (isWrong && isOurs(message.page()?.url() ?? base)) troubles.push(`${message.type()}: ${text} ${message.location().url}`);
  });
  const isForeign = (url) => ['http:', 'https:', 'ws:', 'wss:'].includes(url.protocol) && !known.has(url.host);
  context.on('request', (request) => {
    if (isForeign(new URL(request.url())) && isOurs(request.frame().url())) troubles.push(`a request to ${request.url()}`);
  });
  // What pages of others ask for stays unanswered. Only there: to look at each request takes time that is measured elsewhere.
  if (hosts.length > 0) await context.route(isForeign, (route) => route.abort());
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const leave = async () => {
    await context.close();
    assert.deepEqual([...new Set(troubles)], []);
  };
  return { page, context, troubles, leave };
}

/** What axe finds, in words. */
export async function axe(page) {
  // Evaluated through the debugger: the page's policy allows no script from elsewhere, and stays as it is.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  );
  return violations.map((found) => `${found.id} (${found.help}): ${found.nodes.slice(0, 4).map((node) => `${node.html.slice(0, 200)} [${(node.any[0] ?? node.all[0] ?? node.none[0])?.message ?? ''}]`).join(' | ')}`);
}

/** How many pixels the page is wider than its window. */
export function overhang(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** A picture of all of a page. */
export async function picture(page, name) {
  await mkdir(path.join(ARTIFACTS, 'screenshots'), { recursive: true });
  await page.screenshot({ path: path.join(ARTIFACTS, 'screenshots', `${name}.png`), fullPage: true });
}

/** Waits until a page has its heading and nothing on it is being loaded. */
export async function settled(page, heading) {
  await page.getByRole('heading', { level: 1, name: heading }).waitFor();
  await page.waitForFunction(() => !/^(Loading|Asking).* …$/m.test(document.body.innerText));
}
