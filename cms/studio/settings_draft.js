// Draft of the settings: shows its changes, publishes it, discards it.

import { call, get, post } from "./api.js";
import { doing, h, moment, notice, show } from "./dom.js";
import { confirmed } from "./forms.js";

const none = (error) => { if (error.status === 404) return null; throw error; };
const words = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

/**
 * A card that shows the draft while there is one. `published` is awaited after it was published.
 * @param {() => any} published
 */
export function settingsDraft(published) {
  const place = h("div", {});
  let draft = null;

  async function reload() {
    draft = await get("configuration/draft").catch(none);
    show(place, draft && h("section", { class: "card", id: "settings-draft" }, h("h2", {}, "Unpublished draft"), h("p", { class: "muted" }, `Saved ${moment(draft.savedAt)}${draft.savedBy ? ` by ${draft.savedBy}` : ""}. Viewers do not see it yet.`),
      draft.outdated && h("p", { class: "problem" }, "The settings changed after this draft was saved. Save the draft again, or discard it."),
      h("ul", { class: "changes" }, Object.entries(draft.changes).map(([name, change]) => h("li", {}, h("b", {}, name), " ", h("del", {}, words(change.from)), " → ", h("ins", {}, words(change.to))))),
      h("div", { class: "actions" }, h("button", { type: "button", class: "quiet", onclick: doing(drop) }, "Discard draft"), h("button", { type: "button", onclick: doing(publish) }, "Publish draft"))));
  }

  async function drop() {
    await call("DELETE", "configuration/draft", undefined, { etag: draft.etag });
    await reload();
  }

  async function publish() {
    if (!(await confirmed((headers) => post("configuration/draft/publish", {}, { etag: draft.etag, headers })))) return;
    notice("Published. All feeds change within 15 seconds.");
    await Promise.all([reload(), published()]);
  }

  /** Keep changes in the draft, over those that are in it. @param {any} changes */
  async function keep(changes) {
    const answer = await call("PATCH", "configuration/draft", changes, { etag: draft?.etag });
    await reload();
    return answer;
  }

  return { place, reload, keep };
}
