// A scenario: a test with a world of its own that is taken down whatever happens, and kept for reading when it fails.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, test } from 'node:test';
import { ARTIFACTS, close, person } from './browser.mjs';
import { Agents, POLICY, Server } from './world.mjs';

/** The API key of somebody. */
export const keyOf = (name) => `the key of ${name}, long enough`;

after(close);

class Stage {
  #things = [];
  #people = [];
  #servers = [];

  /** Stops with the scenario; the last comes first. */
  keeps(thing) {
    this.#things.unshift(thing);
    return thing;
  }

  /**
   * A server and agents that it knows, with their platform. With `people`, by name and role, each has an API key, the
   * agents have theirs, and nobody gets in without one. `oidc` gives the provider's settings, once the address is known.
   */
  async fleet(names, { policy = {}, people, oidc } = {}) {
    const agents = this.keeps(await Agents.start(names));
    const keys = Object.entries(people ?? {}).map(([name, role]) => ({ name, role, key: keyOf(name) }));
    const isOpen = !people && !oidc;
    const own = [{ name: 'agents', role: 'ingest' }, { name: 'tests', role: 'viewer' }].map((each) => ({ ...each, key: keyOf(each.name) }));
    const access = isOpen ? undefined : (base) => ({ api_keys: [...keys, ...own], ...(oidc ? { oidc: oidc(base) } : {}) });
    const server = this.keeps(await Server.start({ lifecycle: agents.lifecycle, settings: { policy: { ...POLICY, ...policy }, access } }));
    this.#servers.push(server);
    const as = (name) => (isOpen ? {} : { authorization: `Bearer ${keyOf(name)}` });
    agents.run(server.otlp, { headers: as('agents') });
    await server.learned(names, as('tests'));
    return { agents, server, headers: as('tests') };
  }

  /** Somebody at a browser of their own, under a trace. */
  async person(name, server, { isTraced = true, ...options } = {}) {
    const one = { name, said: [], ...(await person(server.base, options)) };
    one.context.on('console', (message) => one.said.push(`${message.type()}: ${message.text()}`));
    if (isTraced) await one.context.tracing.start({ snapshots: true });
    this.#people.push(one);
    return one;
  }

  async keep(folder) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await Promise.allSettled(this.#servers.map((server, n) => writeFile(path.join(folder, `server-${n}.log`), server.output)));
    for (const { name, page, context, said, troubles } of this.#people) {
      const file = (ending) => path.join(folder, `${name}${ending}`);
      await Promise.allSettled([
        writeFile(file('.console.txt'), [page.url(), ...said, ...troubles].join('\n')),
        page.screenshot({ path: file('.png'), timeout: 10_000 }),
        context.tracing.stop({ path: file('.trace.zip') }),
      ]);
    }
  }

  /** Everybody leaves; what a browser complained of fails the scenario. */
  async end() {
    for (const one of this.#people.splice(0)) await one.leave();
  }

  async takeDown() {
    await Promise.allSettled(this.#people.map((one) => one.context.close()));
    await Promise.allSettled(this.#things.map((thing) => thing.stop()));
  }
}

/**
 * A test with a stage. When it fails, pictures, traces, the console and the server's log are in `target/browser/NAME`.
 * @param {string} name
 * @param {(stage: Stage) => Promise<void>} play
 */
export function scenario(name, play, { timeout = 120_000 } = {}) {
  test(name, async () => {
    const stage = new Stage();
    let timer;
    // The runner's own deadline would leave the stage as it is, and keep nothing.
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not over after ${timeout} ms`)), timeout);
    });
    try {
      await Promise.race([play(stage), late]);
      await stage.end();
    } catch (error) {
      await stage.keep(path.join(ARTIFACTS, name.replaceAll(/[^a-z0-9]+/gi, '-')));
      throw error;
    } finally {
      clearTimeout(timer);
      await stage.takeDown();
    }
  });
}

/** Logs in with somebody's API key, on the page for it. */
export async function logIn(page, name) {
  await page.getByLabel('API key').fill(keyOf(name));
  await page.getByRole('button', { name: 'Log in with the key' }).click();
}
