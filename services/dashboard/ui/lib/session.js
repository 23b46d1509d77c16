// Who is logged in, and what they may do. The server decides; the page only leaves out what would be refused.
import { computed, signal } from "@preact/signals";

/**
 * @typedef {{ kind: "oidc" | "api_key", name?: string, url?: string }} Way
 * @typedef {{ subject: string, name: string, via: string, role: string, runs: string[], access: string,
 *   csrf: string | null, session_ends_at: number | null, ways: Way[] }} Me
 */

/** @type {import("@preact/signals").Signal<Me | null>} */
export const me = signal(null);

/** The ways in, when the server wants a login. @type {import("@preact/signals").Signal<Way[] | null>} */
export const loginWays = signal(null);

/** Set while something is on the screen that is shown only once: a login has to wait. */
export const isHeld = signal(false);

/** Whether what is shown needs a login first. */
export const isLoggedOut = computed(() => loginWays.value !== null && !isHeld.value);

/** Roles from least to most. */
const COVERS = { viewer: ["viewer"], operator: ["viewer", "operator"], admin: ["viewer", "operator", "admin", "ingest"] };

/** Whether the person may do what a role may. @param {"viewer" | "operator" | "admin"} role */
export function may(role) {
  const own = me.value?.role ?? "";
  return (COVERS[/** @type {keyof typeof COVERS} */ (own)] ?? []).includes(role);
}
