// Tenants, for operators: creates them, shows their first keys once, shows their set-up state, and removes them.

import { call, get } from "./api.js";
import { line, oneOf } from "./controls.js";
import { dialog, doing, field, h, moment, notice, show, text } from "./dom.js";
import { makeForm } from "./forms.js";
import { RATINGS } from "./texts.js";

const SPECS = {
  tenantId: { label: "Id", kind: line(), hint: "Letters, digits, - and _. It can never change." },
  name: { label: "Name", kind: line({ maxlength: 100 }) },
  maturityPolicy: { label: "Strongest rating", kind: oneOf(RATINGS), start: "G" },
  keyName: { label: "Name of the content team's key", kind: line({ maxlength: 64 }), start: "content team" },
  appKeyName: { label: "Name of the app's key", kind: line({ maxlength: 64 }), start: "app" },
};
const REMOVAL = { stopping: "keys are being stopped", removing: "data is being deleted", done: "removed" };
const AGAIN_MS = 1500;

export async function tenantsTab(place) {
  const made = h("div", { id: "made" });
  const removals = h("div", { class: "cards" });
  const rows = h("tbody");
  const form = makeForm(null, SPECS);
  let request = crypto.randomUUID(); // one for each tenant: a call that is repeated creates nothing twice

  async function create(event) {
    event.preventDefault();
    const tenant = await form.submit(() => call("POST", "tenants", { name: "", ...form.changes() }, { headers: { "Idempotency-Key": request } }));
    if (!tenant) return;
    request = crypto.randomUUID();
    for (const { control, base } of Object.values(form.fields)) control.put(base);
    show(made, tenant.key ? firstKeys(tenant) : lostKeys(tenant));
    await list();
  }

  async function list() {
    const { tenants } = await get("tenants");
    show(rows, tenants.map((tenant) => row(tenant)));
  }

  function row(tenant) {
    const state = h("td", { class: "state" }, h("button", { class: "quiet", onclick: doing(async () => {
      const so = await get(`tenants/${tenant.tenantId}/onboarding`);
      show(state, h("dl", { class: "facts" }, h("dt", {}, "Created"), h("dd", {}, so.createdAt ? `${moment(so.createdAt)} by ${so.createdBy}` : "before this was recorded"),
        h("dt", {}, "First feed"), h("dd", {}, first(so, so.firstFeedAt)), h("dt", {}, "First event"), h("dd", {}, first(so, so.firstEventAt))),
      copied("Request for the app's page", so.app.page), copied("The same request with curl", so.app.curl));
    }) }, "Show setup"));
    const away = h("td", {}, h("button", { class: "danger", onclick: () => remove(tenant.tenantId) }, "Remove…"));
    return h("tr", { "data-tenant": tenant.tenantId }, h("td", {}, tenant.tenantId), h("td", {}, tenant.maturityPolicy), state, away);
  }

  function remove(id) {
    let typed, reason;
    const box = dialog(`Remove ${id} for good?`, h("p", { class: "question" }, "Its keys stop working at once, and all its data is deleted. This cannot be undone."),
      field("Type the tenant's id to confirm", (name) => (typed = text({ required: true })(name))),
      field("Reason", (name) => (reason = text({ maxlength: 300 })(name)), "Kept in the platform's history"),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: doing(async () => {
          await call("POST", `tenants/${id}/removal`, { confirm: typed.value.trim(), reason: reason.value.trim() });
          box.close();
          notice(`${id} is being removed.`);
          await list();
          await followRemoval(id);
        }) }, "Remove for good")));
  }

  // Removed tenants are not listed any more: how far a removal is, and in the end its receipt, stand above the list.
  async function followRemoval(id) {
    const receipt = h("div", { class: "card", role: "status", "data-removal": id });
    removals.append(receipt);
    for (;;) {
      const { state, requestedBy, doneAt, removed } = await get(`tenants/${id}/removal`);
      show(receipt, h("h2", {}, `${id}: ${REMOVAL[state]}`), h("p", { class: "muted" }, `Requested by ${requestedBy}${doneAt ? `, done ${moment(doneAt)}` : ""}.`),
        h("p", { class: "chips" }, Object.entries(removed).filter(([, count]) => count).map(([what, count]) => h("span", { class: "chip" }, `${count.toLocaleString()} ${what}`))));
      if (state === "done" || !place.isConnected) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  show(place, h("div", { class: "head" }, h("h1", {}, "Tenants")),
    h("form", { class: "card settings", novalidate: true, onsubmit: doing(create) }, form.alert, h("fieldset", {}, h("legend", {}, "A new tenant"),
      h("div", { class: "pair" }, form.at("tenantId", "name", "maturityPolicy", "keyName", "appKeyName"))), h("div", { class: "actions" }, h("button", { class: "primary", type: "submit" }, "Create"))),
    made, removals, h("div", { class: "card" }, h("table", {}, h("thead", {}, h("tr", {}, ["Tenant", "Strongest rating", "State", ""].map((name) => h("th", { scope: "col" }, name)))), rows)));
  await list();
}

const first = (so, at) => (at ? moment(at) : so.createdAt ? "not yet" : "not known");

function firstKeys(tenant) {
  return h("div", { class: "card", id: "first-keys" }, h("h2", {}, `${tenant.tenantId} is created`),
    h("p", { class: "muted" }, "These keys are shown only once. Copy them now."),
    copied("The app's key", tenant.appKey), copied("The content team's key", tenant.key),
    copied("Request for the app's page", tenant.app.page), copied("The same request with curl", tenant.app.curl));
}

function lostKeys(tenant) {
  return h("div", { class: "card" }, h("h2", {}, `${tenant.tenantId} already exists`),
    h("p", {}, "Its keys were shown when it was created. If they are lost, replace both with an overlap of 0 hours."));
}

/** A text with a button that copies it. @param {string} label @param {string} value */
export function copied(label, value) {
  return h("div", { class: "copied" }, h("div", { class: "actions" }, h("strong", {}, label), h("button", { type: "button", class: "quiet", "aria-label": `Copy: ${label}`,
    onclick: doing(async () => { await navigator.clipboard.writeText(value); notice("Copied."); }) }, "Copy")), h("pre", {}, value));
}
