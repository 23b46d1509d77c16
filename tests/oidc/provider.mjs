// An OpenID provider for tests: the certified `oidc-provider`, with people and groups of its own, keys that can be
// rotated, and one client. It says where it listens in one line of JSON, and ends when its standard input does, so
// that it never outlives the test that started it.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

// It warns of what is meant for development only, which this is.
console.warn = () => {};
const { Provider } = await import('oidc-provider');

const PEOPLE = {
  alice: { groups: ['staff', 'sre'] },
  bob: { groups: ['staff'] },
  carol: { groups: ['visitors'] },
  dave: { groups: ['sre'], email_verified: false },
  root: { groups: ['admins', 'staff'], name: 'The Admin' },
};

const settings = {
  // Where the client is; none yet.
  external_url: 'http://127.0.0.1:9',
  // Whether claims are in the ID token or, as the specification has it, in userinfo only.
  claims_in_id_token: true,
  alg: 'RS256',
  // Whether back-channel logouts name the session, or only the person.
  logout_by_session: true,
};

function claims(id) {
  const { groups, email_verified = true, name = id } = PEOPLE[id];
  return { sub: id, email: `${id}@example.com`, email_verified, name, groups };
}

function keys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return [rsa, ec].map(({ privateKey }) => ({
    ...privateKey.export({ format: 'jwk' }),
    kid: randomUUID(),
    use: 'sig',
  }));
}

let issuer;
let jwks = { keys: keys() };
let handle;

// Grants and sessions are in the memory adapter, which all providers of a process share: rebuilding loses none.
function build() {
  const { external_url } = settings;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'immune',
      client_secret: 'a secret: with +signs% and spaces',
      redirect_uris: [`${external_url}/auth/callback`],
      post_logout_redirect_uris: [`${external_url}/login`],
      backchannel_logout_uri: `${external_url}/auth/backchannel-logout`,
      backchannel_logout_session_required: settings.logout_by_session,
      id_token_signed_response_alg: settings.alg,
    }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    conformIdTokenClaims: !settings.claims_in_id_token,
    cookies: { keys: ['only for tests'] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'] },
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    // The client is on this machine, where the provider's own dispatcher does not go.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount: (_, id) => (id in PEOPLE ? { accountId: id, claims: () => claims(id) } : undefined),
    jwks,
    pkce: { required: () => true },
    ttl: { Interaction: 600, Session: 3600, Grant: 3600, IdToken: 3600, AccessToken: 600, AuthorizationCode: 60 },
  });
  for (const event of ['server_error', 'backchannel.error']) {
    provider.on(event, (_, error) => console.error(error));
  }
  handle = provider.callback();
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString() || '{}';
}

const server = createServer(async (request, response) => {
  if (request.url !== '/test/settings') return handle(request, response);
  const { rotate, ...changes } = JSON.parse(await body(request));
  Object.assign(settings, changes);
  if (rotate) jwks = { keys: keys() };
  build();
  response.end();
});

server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  build();
  console.log(JSON.stringify({ issuer }));
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
