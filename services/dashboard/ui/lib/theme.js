// Light or dark: what the system prefers, or what the person chose.
import { signal } from "@preact/signals";

const stored = localStorage.getItem("theme");

/** `system`, `light` or `dark`. */
export const theme = signal(stored === "light" || stored === "dark" ? stored : "system");

/** @param {string} next */
export function setTheme(next) {
  theme.value = next;
  if (next === "system") localStorage.removeItem("theme");
  else localStorage.setItem("theme", next);
  apply();
}

/** Tells the style sheets. */
export function apply() {
  if (theme.peek() === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.peek();
}
