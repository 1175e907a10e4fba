// Sign-in, also over an open page when its key has expired.

import { call, oddCharacter, pasted, remember, session } from "./api.js";
import { dialog, doing, field, h, show, text } from "./dom.js";
import { T } from "./texts.js";

export const PLATFORM = "_platform"; // operators sign in as the platform, which has no feed

export const logo = () => h("span", { class: "logo" }, h("img", { src: "/studio/icon.svg", alt: "", width: 28, height: 28 }), T.app);

/** Try a tenant and a key. @returns {Promise<string | null>} what is wrong with them, null when they are taken */
async function wrong(tenant, key) {
  for (const [name, value] of [["tenant", tenant], ["key", key]]) {
    const odd = oddCharacter(value);
    if (odd) return `Wrong ${name}: it has a character that is not allowed, ${odd}. Copy it again, or type it.`;
    if (!value) return `The ${name} is missing.`;
  }
  try {
    await call("GET", tenant === PLATFORM ? "tenants" : "configuration", undefined, { as: { tenant, key } });
    return null;
  } catch (error) {
    if (error.status === 401) return `Wrong key: it is not valid for the tenant “${tenant}”.`;
    if (error.status === 403) return `This key cannot open the Studio: it needs the scope ${tenant === PLATFORM ? "ops" : "cms"}.`;
    return error.message;
  }
}

/**
 * The fields of signing in, in a form. `done` is called when a key was taken.
 * @param {{ message?: string | null, fixed?: boolean, done: () => void, cancel?: () => void }} what `fixed`: the tenant stays
 */
function signInForm({ message = null, fixed = false, done, cancel = null }) {
  let tenant, key;
  const told = h("p", { class: "problem", role: "alert", hidden: !message }, message ?? "");
  const form = h("form", { onsubmit: doing(async (event) => {
    event.preventDefault();
    const [as, given] = [fixed ? session.tenant : pasted(tenant.value), pasted(key.value)];
    const why = await wrong(as, given);
    if (why) {
      told.hidden = false;
      show(told, why);
      key.select();
      return;
    }
    remember(as, given);
    done();
  }) }, told,
  fixed ? h("p", { class: "muted" }, "Tenant: ", h("b", {}, session.tenant))
    : field("Tenant", (id) => (tenant = text({ name: "tenant", required: true, value: session.tenant || "tenant_1" })(id))),
  field("Key", (id) => (key = h("input", { id, name: "key", type: "password", required: true, autocomplete: "off" })), "Your content team's key. It stays in this browser tab."),
  h("div", { class: "actions" }, cancel && h("button", { type: "button", onclick: cancel }, "Leave the Studio"),
    h("button", { class: fixed ? "primary" : "primary wide", type: "submit" }, "Sign in")));
  return { form, focus: () => (tenant && !tenant.value ? tenant : key).focus() };
}

/** The page of signing in. @param {Element} place @param {string | null} message @param {() => void} done */
export function signInPage(place, message, done) {
  const made = signInForm({ message, done });
  show(place, h("div", { class: "sign-in card" }, logo(), h("p", { class: "muted" }, "See what viewers see, change it, and undo any change."), made.form));
  made.focus();
}

/** Ask for another key over whatever is open, unless the one there is still opens the Studio. @returns {Promise<boolean>} whether there is one */
export async function signInAgain() {
  if (!(await wrong(session.tenant, session.key))) return false; // only that one call is refused
  return new Promise((resolve) => {
    let taken = false;
    const made = signInForm({ message: T.expired, fixed: true, done: () => { taken = true; box.close(); }, cancel: () => box.close() });
    const box = dialog("Sign in again", made.form);
    box.addEventListener("close", () => resolve(taken));
    made.focus();
  });
}
