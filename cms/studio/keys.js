// Keys, for operators: API keys of the signed-in tenant, public keys of user tokens, and the protected settings.

import { call, get, post, session } from "./api.js";
import { figure, instant, jsonText, line, onOff } from "./controls.js";
import { ask, dialog, doing, h, moment, notice, show, skeleton } from "./dom.js";
import { formDialog, makeForm, saveButton } from "./forms.js";
import { copied } from "./tenants.js";

const SCOPES = [["cms", "cms: the Studio"], ["sdk", "sdk: feeds and events, for apps"], ["privacy", "privacy: read and erase a user's data"], ["ops", "ops: keys and protection, for operators"]];
const PLATFORM = "_platform";
const OVERLAP_HOURS = 24;

export async function keysTab(place) {
  const keys = h("div", { class: "card table-card" }, skeleton());
  const tokenKeys = h("div", { class: "card table-card" });
  const protection = h("div", { class: "card" });
  const ofTenant = session.tenant !== PLATFORM;

  const table = (heads, rows) => h("table", {}, h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows));
  const cell = (label, ...content) => h("td", { "data-label": label }, content);

  async function reload() {
    const [issued, verifying] = await Promise.all([get("keys"), ofTenant ? get("user-token-keys") : { keys: [] }]);
    show(keys, table(["Name", "Scopes", "State", "Expires", ""], issued.keys.map(row)));
    show(tokenKeys, verifying.keys.length ? table(["Key id", "Added", ""], verifying.keys.map(tokenRow)) : h("p", { class: "empty" }, "No public keys. User tokens are not checked."));
  }

  function row(key) {
    const expired = key.state === "expired";
    return h("tr", { "data-key": key.name, class: key.state }, h("td", { class: "main-cell" }, h("b", {}, key.name), " ", h("small", { class: "muted" }, key.createdAt ? `since ${moment(key.createdAt)}${key.createdBy ? ` by ${key.createdBy}` : ""}` : "")),
      cell("Scopes", key.scopes.join(", ")), cell("State", h("span", { class: `chip ${expired ? "inactive" : "live"}` }, expired ? "expired" : "active")), cell("Expires", key.expiresAt ? moment(key.expiresAt) : "never"),
      h("td", { class: "row-actions" }, expired ? null : [h("button", { class: "quiet", onclick: () => rename(key) }, "Rename"), h("button", { class: "quiet", onclick: () => rotate(key) }, "Replace")],
        h("button", { class: "danger quiet", onclick: doing(() => revoke(key)) }, "Revoke")));
  }

  function tokenRow(key) {
    return h("tr", { "data-token-key": key.keyId }, h("td", { class: "main-cell" }, h("code", {}, key.keyId)), cell("Added", `${moment(key.addedAt)}${key.addedBy ? ` by ${key.addedBy}` : ""}`),
      h("td", { class: "row-actions" }, h("button", { class: "quiet", onclick: () => dialog(key.keyId, copied("Public key", key.publicKey)) }, "Show"),
        h("button", { class: "danger quiet", onclick: doing(async () => {
          if (!(await ask("Remove this public key?", `User tokens signed with “${key.keyId}” are refused from now on.`, "Remove"))) return;
          await call("DELETE", `user-token-keys/${encodeURIComponent(key.keyId)}`, undefined, { etag: key.etag });
          await reload();
        }) }, "Remove")));
  }

  function once(title, key, ...more) {
    dialog(title, h("p", {}, h("b", {}, "This key is shown only once. Copy it now."), " The service stores only a hash of it."), copied("Key", key), more);
  }

  function issue() {
    const form = makeForm(null, {
      name: { label: "Who uses it", kind: line({ maxlength: 64 }), hint: "History shows this name" },
      scopes: { label: "Scopes", kind: someOf(SCOPES.filter(([scope]) => ofTenant || scope === "ops")), start: [ofTenant ? "cms" : "ops"] },
      expiresAt: { label: "Expires", kind: instant(), hint: "Empty: never" },
    });
    const box = formDialog("New key", form, form.at("name", "scopes", "expiresAt"), saveButton("Create key"), async () => {
      const made = await form.submit(() => post("keys", form.changes()));
      if (!made) return;
      box.close();
      await reload();
      once(`The key of ${made.name}`, made.key);
    });
  }

  function rename(key) {
    const form = makeForm(key, { name: { label: "Who uses it", kind: line({ maxlength: 64 }) } });
    const box = formDialog(`Rename “${key.name}”`, form, form.at("name"), saveButton(), async () => {
      if (!(await form.submit(() => call("PATCH", `keys/${key.id}`, { name: form.value("name") }, { etag: key.etag })))) return;
      box.close();
      notice("Renamed.");
      await reload();
    });
  }

  function rotate(key) {
    const form = makeForm(null, { overlapHours: { label: "The old key works for another (hours)", kind: figure({ min: 0, max: 168 }), start: OVERLAP_HOURS, hint: "0: it stops working at once" } });
    const box = formDialog(`Replace the key of ${key.name}`, form, form.at("overlapHours"), saveButton("Replace"), async () => {
      const made = await form.submit(() => post(`keys/${key.id}/rotate`, form.changes(), { etag: key.etag }));
      if (!made) return;
      box.close();
      await reload();
      once(`The new key of ${made.name}`, made.key, h("p", {}, `The old key stops working on ${moment(made.oldKeyEndsAt)}.`));
    });
  }

  async function revoke(key) {
    if (!(await ask("Revoke this key?", `Calls with the key of ${key.name} are refused at once. This cannot be undone.`, "Revoke"))) return;
    await call("DELETE", `keys/${key.id}`, undefined, { etag: key.etag });
    notice("Revoked.");
    await reload();
  }

  function addTokenKey() {
    const form = makeForm(null, {
      keyId: { label: "Key id", kind: line({ maxlength: 64 }), hint: "The kid in the header of the tokens" },
      publicKey: { label: "Public key", kind: longText({ rows: 8, placeholder: "-----BEGIN PUBLIC KEY-----" }), hint: "PEM: RSA of 2,048 bits or more, P-256 or Ed25519" },
    });
    const box = formDialog("Add a public key", form, form.at("keyId", "publicKey"), saveButton("Add"), async () => {
      if (!(await form.submit(() => post("user-token-keys", form.changes())))) return;
      box.close();
      notice("Added. User tokens signed with its private key are now accepted.");
      await reload();
    });
  }

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Keys"), h("p", { class: "muted" }, `Who can call the API for ${session.tenant}, and for what.`)), h("button", { class: "primary", onclick: issue }, "New key")), keys,
    ofTenant && [h("div", { class: "head later" }, h("div", {}, h("h2", {}, "Public keys of user tokens"), h("p", { class: "muted" }, "Your server signs a token for each user. The service checks it with one of these public keys.")), h("button", { onclick: addTokenKey }, "Add a public key")), tokenKeys,
      h("div", { class: "head later" }, h("h2", {}, "Protection")), protection]);
  await Promise.all([reload(), ofTenant && drawProtection(protection)]);
}

// Fields of the configuration that only operators change.
async function drawProtection(place) {
  const form = makeForm(await get("configuration"), {
    requireUserToken: { label: "Users", kind: onOff("Require a user token") },
    countAnonymousEvents: { label: "Events", kind: onOff("Count events of users without a token in statistics") },
    "rateLimits.feedRequestsPerSecond": { label: "Feed requests a second", kind: figure({ min: 0 }), hint: "Empty: no limit of its own" },
    "rateLimits.eventBatchesPerSecond": { label: "Batches of events a second", kind: figure({ min: 0 }), hint: "Empty: no limit of its own" },
    rollupShards: { label: "Parallel sessions for statistics", kind: figure({ min: 1, max: 16 }), hint: "1 for every 100 event batches a second" },
    featureFlags: { label: "The tenant's own flags", kind: jsonText('{"exploration": false}', "The tenant's own flags", {}) },
  });
  show(place, h("form", { novalidate: true, onsubmit: doing(async (event) => {
    event.preventDefault();
    if (!form.touched()) return notice("Nothing was changed.");
    const saved = await form.submit(() => call("PATCH", "configuration", form.changes(), { etag: form.etag }), () => get("configuration"));
    if (!saved) return;
    form.settle(saved);
    notice("Saved. It takes effect within 15 seconds.");
  }) }, form.alert, form.at("requireUserToken", "countAnonymousEvents"),
  h("div", { class: "pair" }, form.at("rateLimits.feedRequestsPerSecond", "rateLimits.eventBatchesPerSecond", "rollupShards", "featureFlags")), h("div", { class: "actions" }, saveButton())));
}

/** A text of several lines. @returns {import("./controls.js").Kind} */
const longText = (props) => ({
  make: (id, changed) => {
    const element = h("textarea", { id, spellcheck: "false", oninput: changed, ...props });
    return { element, input: element, get: () => element.value, put: (text) => { element.value = text; } };
  },
  show: (value) => value ?? "", read: (text) => text.trim() });

/** Any of some, each a box to tick. @returns {import("./controls.js").Kind} */
const someOf = (options) => ({
  label: false,
  make: (id, changed) => {
    const boxes = options.map(([value, label]) => [value, h("input", { type: "checkbox", onchange: changed }), label]);
    const element = h("fieldset", { id, tabindex: -1 }, h("legend", {}, "Scopes"), boxes.map(([, box, label]) => h("label", { class: "tick" }, box, label)));
    return { element, input: element, get: () => JSON.stringify(boxes.filter(([, box]) => box.checked).map(([value]) => value)),
      put: (json) => { for (const [value, box] of boxes) box.checked = JSON.parse(json).includes(value); } };
  },
  show: (values) => JSON.stringify(values ?? []), read: (json) => JSON.parse(json) });
