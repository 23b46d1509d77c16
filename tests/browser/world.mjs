// A real server with real agents: the binary on free ports in a temporary folder, agents that export OTLP, and a
// platform that implements the Agent Lifecycle API.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.IMMUNE_BINARY ?? fileURLToPath(new URL('../../target/debug/immune', import.meta.url));
export const DEADLINE = 60_000;

/**
 * The same rules as ever, with shorter windows and proofs, and every case waits for a person: how severe the first look
 * at a fault finds it depends on how many of its executions that look has.
 */
export const POLICY = {
  severity_requiring_approval: 0, window_seconds: 3, cooldown_seconds: 0, probation: { executions: 3, seconds: 20 }, blast_radius: { agents: 1_000 },
};

/** Waits until `holds` returns something true, and returns that. */
export async function until(what, holds, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  let last;
  for (;;) {
    try {
      const value = await holds();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited ${deadline} ms in vain: ${what}${last ? ` (${last.message})` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const chosen = new Set();

/**
 * A port of loopback that nobody listens on, below those that the system gives to outgoing connections: before the
 * server starts, any client could get one of those.
 */
function freePort() {
  return new Promise((resolve, reject) => {
    const attempt = (left) => {
      const port = 10_000 + Math.floor(Math.random() * 22_000);
      if (chosen.has(port)) return attempt(left);
      const server = net.createServer();
      server.once('error', (error) => (left > 0 ? attempt(left - 1) : reject(error)));
      server.listen(port, '127.0.0.1', () => {
        chosen.add(port);
        server.close(() => resolve(port));
      });
    };
    attempt(100);
  });
}

/** Agents that execute a few times a second each, fall ill on request, and obey their platform. */
export class Agents {
  #agents = new Map();
  #server;
  #timer;
  #otlp;
  #headers;
  #salt = Math.floor(Math.random() * 2 ** 31);
  #n = 0;

  static async start(names) {
    const agents = new Agents();
    for (const name of names) agents.#agents.set(name, { times: 1, held: false });
    agents.#server = http.createServer((request, answer) => agents.#serve(request, answer));
    await new Promise((resolve) => agents.#server.listen(0, '127.0.0.1', resolve));
    return agents;
  }

  get lifecycle() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  run(otlp, { every = 200, headers = {} } = {}) {
    this.#otlp = otlp;
    this.#headers = headers;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tick().catch(() => {}), every);
  }

  /** From now on its executions take and spend so many times the usual. */
  infect(name, times = 10) {
    this.#agents.get(name).times = times;
  }

  isHeld(name) {
    return this.#agents.get(name).held;
  }

  isIll(name) {
    return this.#agents.get(name).times !== 1;
  }

  async once(names, otlp, headers = {}) {
    const spans = names.flatMap((name) => this.#spans(name, { times: 1 }));
    await this.#send(otlp, headers, spans);
  }

  stop() {
    clearInterval(this.#timer);
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #tick() {
    const spans = [...this.#agents].filter(([, agent]) => !agent.held).flatMap(([name, agent]) => this.#spans(name, agent));
    if (spans.length) await this.#send(this.#otlp, this.#headers, spans);
  }

  async #send(otlp, headers, spans) {
    const resource = { attributes: [text('service.name', 'shop')] };
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] });
    const answer = await fetch(`${otlp}/v1/traces`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } });
    if (!answer.ok) throw new Error(`OTLP answered ${answer.status}: ${await answer.text()}`);
  }

  #spans(name, agent) {
    const spread = 1 + (Math.random() - 0.5) / 5;
    const took = 900 * agent.times * spread;
    const now = Date.now();
    const trace = hex(this.#salt, 16) + hex(this.#n++, 16);
    const span = (part, label, from, to, attributes) => ({
      traceId: trace, spanId: hex(this.#n * 4 + part + 1, 16), ...(part ? { parentSpanId: hex(this.#n * 4 + 1, 16) } : {}),
      name: label, kind: 1, startTimeUnixNano: String(Math.round(from * 1e6)), endTimeUnixNano: String(Math.round(to * 1e6)), attributes,
    });
    return [
      span(1, 'chat small', now - took, now - took / 2, [
        text('gen_ai.operation.name', 'chat'), text('gen_ai.request.model', 'small-1'),
        number('gen_ai.usage.input_tokens', 800 * agent.times * spread), number('gen_ai.usage.output_tokens', 200 * spread),
      ]),
      span(2, 'execute_tool lookup', now - took / 2, now, [text('gen_ai.operation.name', 'execute_tool'), text('gen_ai.tool.name', 'lookup')]),
      span(0, `invoke_agent ${name}`, now - took, now, [
        text('gen_ai.operation.name', 'invoke_agent'), text('gen_ai.agent.name', name), text('immune.agent.id', name),
      ]),
    ];
  }

  #serve(request, answer) {
    const [, , id, verb] = new URL(request.url, 'http://platform').pathname.split('/').map(decodeURIComponent);
    const agent = this.#agents.get(id);
    const say = (status, body) => {
      answer.writeHead(status, { 'content-type': 'application/json' });
      answer.end(JSON.stringify(body));
    };
    if (!agent) return say(404, { title: 'no such agent' });
    if (verb !== 'actions') return say(200, { agent_id: id, contained: agent.held, state: agent.held ? 'quarantined' : 'running' });
    let body = '';
    request.on('data', (piece) => (body += piece));
    request.on('end', () => {
      const { action } = JSON.parse(body);
      if (action === 'quarantine') agent.held = true;
      else if (action === 'release') agent.held = false;
      else agent.times = 1;
      say(200, { outcome: 'done', detail: `${action} of ${id}` });
    });
  }
}

const hex = (n, digits) => BigInt(n).toString(16).padStart(digits, '0');
const text = (key, value) => ({ key, value: { stringValue: value } });
const number = (key, value) => ({ key, value: { intValue: String(Math.round(value)) } });

/** The binary, all roles in one process. */
export class Server {
  static async start({ lifecycle, settings = {} } = {}) {
    const server = new Server();
    server.folder = await mkdtemp(path.join(tmpdir(), 'immune-browser-'));
    const [rest, otlpGrpc, otlpHttp] = await Promise.all([freePort(), freePort(), freePort()]);
    server.base = `http://127.0.0.1:${rest}`;
    server.otlp = `http://127.0.0.1:${otlpHttp}`;
    const config = {
      store: { url: `sqlite:${path.join(server.folder, 'immune.db')}` },
      dashboard: { listen: `127.0.0.1:${rest}`, ...settings.dashboard },
      ingestion: { grpc_listen: `127.0.0.1:${otlpGrpc}`, http_listen: `127.0.0.1:${otlpHttp}`, ...settings.ingestion },
      grpc: { enabled: false },
      metrics: { enabled: false },
      ...(lifecycle ? { levers: { lifecycle: { base_url: lifecycle } } } : {}),
      policy: { defaults: { blast_radius: { agents: 1_000 }, ...settings.policy } },
      ...(settings.access ? { access: typeof settings.access === 'function' ? settings.access(server.base) : settings.access } : {}),
    };
    server.config = path.join(server.folder, 'immune.yaml');
    // JSON is YAML.
    await writeFile(server.config, JSON.stringify(config));
    await server.begin();
    return server;
  }

  async begin() {
    this.output = '';
    this.child = spawn(BINARY, ['serve', '--config', this.config], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (piece) => (this.output = (this.output + piece).slice(-20_000)));
    await until(`the server answers\n${this.output}`, async () => {
      if (this.child.exitCode !== null) throw new Error(this.output);
      return (await fetch(`${this.base}/api/v1/health`)).ok;
    });
  }

  async get(pathname, headers = {}) {
    const answer = await fetch(this.base + pathname, { headers });
    if (!answer.ok) throw new Error(`${pathname} answered ${answer.status}`);
    return answer.json();
  }

  async post(pathname, body = {}, headers = {}) {
    return fetch(this.base + pathname, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } });
  }

  /** Waits until every one of some agents has a baseline. */
  async learned(names, headers = {}) {
    await until('every agent has a baseline', async () => {
      const { agents } = await this.get('/api/fleet', headers);
      return names.every((name) => agents.some((agent) => agent.id === name && agent.baseline.state === 'active'));
    });
  }

  /** The open case of an agent, once it is in a state. */
  async caseOf(name, state, headers = {}) {
    return until(`the case of ${name} is ${state}`, async () => {
      const cases = await this.get(`/api/cases?agent_id=${encodeURIComponent(name)}&limit=1`, headers);
      return cases[0]?.state === state ? cases[0] : null;
    });
  }

  /** Waits until an agent is held and what it did is no longer recent: nobody reports it again, its case stays as it is. */
  async calm(name, headers = {}) {
    await until(`nothing more is reported of ${name}`, async () => {
      const { agents } = await this.get('/api/fleet', headers);
      const agent = agents.find((each) => each.id === name);
      return agent?.phase === 'confirmed' && !agent.suspect;
    });
  }

  async end(signal = 'SIGTERM') {
    // Who was killed by a signal has no exit code.
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    await ended;
  }

  async stop() {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}
