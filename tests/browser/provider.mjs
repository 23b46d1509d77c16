// The certified OpenID provider of `tests/oidc`, as a process of its own.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../oidc', import.meta.url));

export class Provider {
  static async start() {
    const provider = new Provider();
    // It ends when its standard input does, so with this process too.
    provider.child = spawn(process.execPath, ['provider.mjs', '0'], { cwd: FOLDER, stdio: ['pipe', 'pipe', 'inherit'] });
    const said = await new Promise((resolve, reject) => {
      createInterface({ input: provider.child.stdout }).once('line', resolve);
      provider.child.once('exit', (code) => reject(new Error(`the provider ended with ${code}; is tests/oidc installed (make tools)?`)));
    });
    provider.issuer = JSON.parse(said).issuer;
    return provider;
  }

  /** Tells it where the product is. */
  async introduce(external) {
    const answer = await fetch(`${this.issuer}/test/settings`, { method: 'POST', body: JSON.stringify({ external_url: external }) });
    if (!answer.ok) throw new Error(`the provider answered ${answer.status}`);
  }

  /** The section `access.oidc` for it. */
  settings(external) {
    return {
      issuer: this.issuer,
      client_id: 'immune',
      client_secret: 'a secret: with +signs% and spaces',
      external_url: external,
      name: 'Example SSO',
      scopes: ['openid', 'profile', 'email', 'groups'],
      roles: [{ group: 'visitors', role: 'viewer' }, { group: 'sre', role: 'operator' }, { group: 'admins', role: 'admin' }],
    };
  }

  stop() {
    this.child.kill();
  }
}
