// Named feeds, with their drafts and the experiments that run in each.

import { call, get, post } from "./api.js";
import { figure, line, oneOf } from "./controls.js";
import { ask, doing, h, notice, show, skeleton, toggle } from "./dom.js";
import { formDialog, makeForm } from "./forms.js";
import { pickMany } from "./pickers.js";
import { categories, creators, playlists, series, tags } from "./sources.js";
import { RATINGS, T } from "./texts.js";
import { weightsLine } from "./weights.js";

const ORDERS = [["popular", "Most popular first"], ["newest", "Newest first"], ["editorial", "Playlist order, then editorial boost"]];
const CEILINGS = [[null, "As in the settings"], ...RATINGS];
/** @type {[string, string, import("./sources.js").Source][]} */
const BASE = [["playlists", "Playlists", playlists], ["categories", "Categories", categories], ["creators", "Creators", creators], ["tags", "Tags", tags], ["series", "Series", series]];

export async function feedsTab(place) {
  const cards = h("ul", { class: "cards" }, h("li", {}, skeleton()));

  async function reload() {
    const [{ feeds }, { experiments }] = await Promise.all([get("feeds"), get("experiments")]);
    show(cards, feeds.length ? feeds.map((feed) => card(feed, experiments.filter((each) => each.feeds.includes(feed.id))))
      : h("li", { class: "card empty" }, h("p", {}, "No named feeds yet. Apps have one feed, home, with the whole catalog.")));
  }

  function card(feed, experiments) {
    const isLive = "title" in feed; // one that was never published is its draft alone
    const shown = isLive ? feed : feed.draft;
    const state = !isLive ? "draft" : feed.enabled ? "live" : "off";
    return h("li", { class: "card", "data-feed": feed.id },
      h("div", { class: "rule-line" }, h("div", { class: "grow" }, h("h2", {}, shown.title), h("p", { class: "muted" }, h("code", {}, feed.id), ` · ${sentence(shown)}`)),
        h("span", { class: `chip ${state}` }, state), isLive && toggle("On", feed.enabled, (enabled, input) => switched(feed, enabled, input))),
      experiments.length > 0 && h("p", { class: "chips" }, experiments.map((each) => h("a", { class: "chip", href: "#experiments" }, `Experiment: ${each.name} (${each.status})`))),
      h("div", { class: "actions" }, feed.draft && [h("span", { class: "muted grow" }, "There is an unpublished draft."),
        h("button", { onclick: doing(() => publish(feed.id, feed.draft.etag)) }, "Publish draft"),
        h("button", { class: "quiet", onclick: doing(async () => { await call("DELETE", `feeds/${feed.id}/draft`, undefined, { etag: feed.draft.etag }); await reload(); }) }, "Discard draft")],
      isLive && h("button", { class: "quiet", onclick: doing(() => remove(feed)) }, "Delete"), h("button", { onclick: () => edit(feed) }, "Edit")));
  }

  async function switched(feed, enabled, input) {
    try {
      await call("PATCH", `feeds/${feed.id}`, { enabled }, { etag: feed.etag });
    } catch (error) {
      input.checked = !enabled;
      notice(error.message, "bad");
    }
    await reload();
  }

  async function publish(id, etag) {
    await post(`feeds/${id}/draft/publish`, {}, { etag });
    notice("Published. Apps get it within 15 seconds.");
    await reload();
  }

  async function remove(feed) {
    if (!(await ask("Delete this feed?", `Apps that request “${feed.title}” get an error from now on. Its draft is kept.`, "Delete"))) return;
    await call("DELETE", `feeds/${feed.id}`, undefined, { etag: feed.etag });
    await reload();
  }

  function edit(feed) {
    const isLive = feed !== null && "title" in feed;
    const draft = feed?.draft ?? null;
    const form = makeForm(draft ?? feed, {
      ...(feed ? {} : { id: { label: "Id", kind: line({ maxlength: 64 }), hint: "The name that apps request. It can never change" } }),
      title: { label: "Title", kind: line({ maxlength: 100 }) },
      ...Object.fromEntries(BASE.map(([name, label, source]) => [`base.${name}`, { label, kind: pickMany(source, { placeholder: "any" }) }])),
      fallbackOrder: { label: "Order when it is not personalized", kind: oneOf(ORDERS), start: "popular" },
      maturityCeiling: { label: "Strongest rating", kind: oneOf(CEILINGS), hint: "It can only be milder than the settings" },
      defaultLimit: { label: "Videos a page", kind: figure({ min: 1, max: 50 }), hint: "Empty: use the value in Settings" },
      streakCap: { label: "Longest run of a category", kind: figure({ min: 0, max: 50 }), hint: "0: no limit" },
      creatorCap: { label: "Videos of one creator a page", kind: figure({ min: 0, max: 50 }), hint: "0: no limit" },
      diversity: { label: "Variety", kind: figure({ min: 0, max: 2 }), hint: "0: rank by score only" },
      weights: { label: "Weights that differ from Settings", kind: weightsLine() },
    });
    const id = () => feed?.id ?? form.value("id");
    const body = () => { const { id: _, ...rest } = form.whole(); return rest; };
    const keep = () => call("PUT", `feeds/${encodeURIComponent(id())}/draft`, body(), { etag: draft ? form.etag : undefined });

    const fresh = () => (draft ? get(`feeds/${id()}/draft`) : get(`feeds/${id()}`));

    const saveDraft = async () => {
      if (!(await form.submit(keep, draft && fresh))) return;
      box.close();
      notice(T.kept);
      await reload();
    };
    const send = async () => {
      if (draft) return post(`feeds/${id()}/draft/publish`, {}, { etag: (await keep()).etag });
      return isLive ? call("PATCH", `feeds/${id()}`, form.changes(), { etag: form.etag }) : post("feeds", form.changes());
    };
    const box = formDialog(feed ? `Edit “${(draft ?? feed).title}”` : "New feed", form, [
      form.at(...(feed ? ["title"] : ["id", "title"])),
      h("fieldset", {}, h("legend", {}, "Which videos (one value of every field you fill in must match)"), h("div", { class: "pair" }, form.at(...BASE.map(([name]) => `base.${name}`)))),
      h("fieldset", {}, h("legend", {}, "How it is served"), h("div", { class: "pair" }, form.at("fallbackOrder", "maturityCeiling", "defaultLimit", "streakCap", "creatorCap", "diversity")), form.at("weights")),
    ], [h("button", { type: "button", onclick: doing(saveDraft) }, T.saveDraft), h("button", { type: "submit", class: "primary" }, "Publish")], async () => {
      if (!(await form.submit(send, feed && fresh))) return;
      box.close();
      notice("Published. Apps get it within 15 seconds.");
      await reload();
    });
  }

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Feeds"), h("p", { class: "muted" }, "Parts of the catalog that apps request by name. Ratings, schedules and rules apply in all of them.")),
    h("button", { class: "primary", onclick: () => edit(null) }, "New feed")), cards);
  await reload();
}

function sentence({ base, fallbackOrder, maturityCeiling }) {
  const parts = Object.entries(base).filter(([, values]) => values.length).map(([name, values]) => `${name}: ${values.slice(0, 4).join(", ")}${values.length > 4 ? "…" : ""}`);
  return [parts.join(" · ") || "every video", fallbackOrder, maturityCeiling && `up to ${maturityCeiling}`].filter(Boolean).join(" · ");
}
