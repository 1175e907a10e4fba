// History: who changed what, when and why, with a button that reverts a change.

import { get, post } from "./api.js";
import { ask, doing, h, moment, notice, show } from "./dom.js";

export async function historyTab(place) {
  const entries = h("ul", { class: "cards history" });
  const more = h("div", { class: "actions center" });

  async function load(cursor = null) {
    const answer = await get(`audit?limit=30${cursor ? `&cursor=${cursor}` : ""}`);
    if (!cursor) show(entries);
    entries.append(...answer.entries.map(card));
    if (!entries.children.length) entries.append(h("li", { class: "card empty" }, "No changes in the last 90 days."));
    show(more, answer.nextCursor && h("button", { onclick: doing(() => load(answer.nextCursor)) }, "Older"));
  }

  const card = (entry) => h("li", { class: "card", "data-entry": entry.id },
    h("div", { class: "rule-line" }, h("div", { class: "grow" },
      h("h2", {}, `${entry.action.replaceAll("_", " ")} · ${entry.resource}${entry.name === entry.resource ? "" : ` ${entry.name}`}`),
      h("p", { class: "muted" }, `${entry.who}, ${moment(entry.at)}${entry.why ? ` – ${entry.why}` : ""}`)),
    entry.revertible && h("button", { "data-revert": true, onclick: doing(() => revert(entry)) }, "Revert"),
    entry.resource === "video" && entry.action === "takedown" && h("button", { onclick: doing(() => restore(entry)) }, "Restore")),
    entry.changes.length ? h("ul", { class: "changes" }, entry.changes.filter((change) => brief(change.from) !== brief(change.to) && change.field !== "rule").slice(0, 6).map((change) =>
      h("li", {}, h("b", {}, change.field), " ", h("del", {}, brief(change.from)), " → ", h("ins", {}, brief(change.to))))) : null);

  // A takedown is lifted by restoring the video alone.
  async function restore(entry) {
    const after = await post(`videos/${encodeURIComponent(entry.name)}/restore`);
    notice(after.status === "active" ? "Restored. Viewers can see it again." : "Restored. It is still inactive, as before.");
    await load();
  }

  async function revert(entry) {
    const send = (body = {}, headers = {}) => post(`audit/${entry.id}/revert`, body, { headers });
    let answer = {};
    try {
      answer = await send();
    } catch (error) {
      if (error.code === "changed_since") {
        if (!(await ask("Revert anyway?", "It was changed again later. Reverting sets the fields of this change to their values before it, and overwrites later changes of these fields.", "Revert"))) return;
        answer = await send({ force: true });
      } else if (error.errors?.[0]?.code === "confirmation_required") {
        if (!(await ask("Show stronger ratings?", error.errors[0].message.split(" To confirm")[0], "Yes, show them"))) return;
        answer = await send({}, { "X-Confirm-Maturity": "yes" });
      } else throw error;
    }
    notice(["Reverted. All feeds change within 15 seconds.", ...(answer.notes ?? []).map((note) => note.message)].join(" "));
    await load();
  }
  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "History"), h("p", { class: "muted" }, "Who changed what in the last 90 days. Most changes can be reverted."))), entries, more);
  await load();
}

const empty = (value) => value === null || value === undefined || (typeof value === "object" && Object.values(value).every(empty));

// A value in a few words: lists with commas, objects without their empty parts.
function words(value) {
  if (empty(value)) return "–";
  if (Array.isArray(value)) return value.map(words).join(", ");
  if (typeof value === "object") return Object.entries(value).filter(([, each]) => !empty(each)).map(([name, each]) => `${name}: ${words(each)}`).join("; ");
  return String(value);
}

function brief(value) {
  const shown = words(value);
  return shown.length > 80 ? `${shown.slice(0, 78)}…` : shown;
}
