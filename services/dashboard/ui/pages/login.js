// Logging in: with the organisation's provider, or with an API key.
import { html, useState } from "../lib/html.js";
import { Problem, call } from "../lib/api.js";
import { queried } from "../lib/route.js";
import { loginWays, me } from "../lib/session.js";
import { Button, Field, Head } from "../lib/ui.js";

/** @type {Record<string, string>} */
const ERRORS = {
  no_role: "The provider knows you, but none of your groups has a role here. Ask an administrator to map one.",
  login_expired: "That login was begun too long ago, or in another browser. Begin again.",
  login_failed: "What the provider answered could not be verified. Begin again; the server's log says why.",
  provider_refused: "The provider says that the login was refused or cancelled.",
  provider_away: "The provider does not answer. Try again in a moment, or log in with an API key.",
  not_ready: "The server cannot keep a login just now. Try again in a moment.",
  not_configured: "This server has no login with a provider. Log in with an API key.",
  unknown_key: "That key is not known here.",
  locked_out: "Too many wrong keys came from your address. Wait a few minutes, then try again.",
  too_many: "Too many logins at once. Wait a moment, then try again.",
};

/** Only ways within this page are followed. */
function wayBack() {
  const then = queried("then", "/fleet");
  return then.startsWith("/") && !then.startsWith("//") && !then.startsWith("/login") ? then : "/fleet";
}

export default function Login() {
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const ways = loginWays.value ?? me.value?.ways ?? [];
  const said = queried("error");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await call("POST", "/auth/key", { body: { key: key.trim() } });
      window.location.assign(wayBack());
    } catch (problem) {
      setBusy(false);
      setError(problem instanceof Problem ? problem.detail : String(problem));
    }
  };
  const hasKeys = ways.length === 0 || ways.some((way) => way.kind === "api_key");
  return html`<section class="login">
    <${Head} title="Log in to Immune" />
    ${said && html`<p class="banner banner-error" role="alert">${ERRORS[said] ?? `The login failed (${said}). Try again.`}</p>`}
    ${ways
      .filter((way) => way.kind === "oidc")
      .map((way) => html`<a class="button button-primary button-wide" data-whole href=${`${way.url ?? "/auth/login"}?then=${encodeURIComponent(wayBack())}`}>Log in with ${way.name ?? "your organisation"}</a>`)}
    ${hasKeys && html`<form onSubmit=${submit}>
      <${Field} label="API key" hint="Ask an administrator, or see the server's first start. Keys begin with imk_." error=${error || null}>
        ${(/** @type {string} */ id, /** @type {string} */ described) => html`<input id=${id} type="password" autocomplete="current-password" required aria-describedby=${described} aria-invalid=${error !== ""} value=${key} onInput=${(/** @type {any} */ e) => setKey(e.target.value)} />`}
      <//>
      <${Button} type="submit" kind=${ways.length > 1 ? "plain" : "primary"} busy=${isBusy}>Log in with the key<//>
    </form>`}
  </section>`;
}
