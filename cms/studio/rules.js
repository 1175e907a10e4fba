// Rules: live rules, drafts, and a preview of a rule's effect before it is saved.

import { call, get, post } from "./api.js";
import { figure, instant, line, oneOf, written } from "./controls.js";
import { ask, doing, h, list, moment, notice, show, toggle } from "./dom.js";
import { formDialog, makeForm, saveButton, savedNotice } from "./forms.js";
import { idOf } from "./ids.js";
import { pickMany } from "./pickers.js";
import { ruleIcon } from "./preview.js";
import { ruleEffect } from "./rule_effect.js";
import * as values from "./sources.js";

const ACTIONS = [["boost", "Boost: show more"], ["suppress", "Suppress: show less"], ["pin", "Pin to positions"],
  ["exclude", "Exclude: never show"], ["limit", "Limit the feed to these"]];
/** @type {[string, string, values.Source][]} */
const LISTS = [["tags", "Tags (any)", values.tags], ["allTags", "Tags (all of them)", values.tags], ["categories", "Categories", values.categories], ["creators", "Creators", values.creators],
  ["videoIds", "Video ids", values.videos], ["playlists", "Playlists", values.playlists]];
/** @type {[string, string, values.Source][]} */
const AUDIENCE = [["countries", "Countries", values.countries], ["languages", "Languages", values.languages], ["ageBands", "Age bands", values.ageBands], ["platforms", "Platforms", values.platforms]];
const PUBLISHED = "Published. All feeds change within 15 seconds.";

const positionsRead = (text) => list(text).map((each) => {
  if (!/^\d+$/.test(each)) throw new Error("Positions must be whole numbers, such as 1, 3. 1 is the top of the feed.");
  return Number(each);
});

const SPECS = {
  name: { label: "Name", kind: line({ maxlength: 100 }) },
  action: { label: "What it does", kind: oneOf(ACTIONS), start: "boost" },
  multiplier: { label: "Multiplier", kind: figure({ step: 0.1, min: 0.1, max: 10 }), hint: "Boost: more than 1, at most 10. Suppress: from 0.1 to below 1", start: 2 },
  positions: { label: "Positions", kind: written({}, (value) => (value ?? []).join(", "), positionsRead), hint: "1 is the top of the feed" },
  ...Object.fromEntries(LISTS.map(([name, label, source]) => [`match.${name}`, { label, kind: pickMany(source, { placeholder: "any" }) }])),
  "match.durationSeconds.min": { label: "Shortest (seconds)", kind: figure({ min: 0 }) },
  "match.durationSeconds.max": { label: "Longest (seconds)", kind: figure({ min: 0 }) },
  "match.ageHours.min": { label: "Older than (hours)", kind: figure({ min: 0 }) },
  "match.ageHours.max": { label: "Newer than (hours)", kind: figure({ min: 0 }) },
  ...Object.fromEntries(AUDIENCE.map(([name, label, source]) => [`audience.${name}`, { label, kind: pickMany(source, { placeholder: "everyone" }) }])),
  startsAt: { label: "From", kind: instant() },
  endsAt: { label: "Until", kind: instant() },
  priority: { label: "Priority", kind: figure({ step: 1 }, 0), hint: "If two pins want the same position, the higher priority wins", start: 0 },
};
const PARTS = new Set([...Object.keys(SPECS).map((name) => name.split(".")[0]), "enabled"]);

export async function rulesTab(place) {
  async function reload() {
    const { rules } = await get("rules");
    show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Rules"),
      h("p", { class: "muted" }, "Rules change what the ranking shows. Exclude overrides limit, limit overrides pin, pin overrides boost and suppress. No rule overrides ratings.")),
    h("button", { class: "primary", onclick: () => edit(null) }, "New rule")),
    rules.length ? h("ul", { class: "cards" }, rules.map(card))
      : h("div", { class: "card empty" }, h("p", {}, "No rules yet. The ranking alone decides what viewers see.")));
  }

  function card(rule) {
    const shown = rule.state === "draft" ? { ...rule.draft, state: "draft" } : rule;
    return h("li", { class: `card rule-card ${shown.state}`, "data-rule": rule.id },
      h("div", { class: "rule-line" }, h("span", { class: "rule-icon", "aria-hidden": "true" }, ruleIcon(shown)),
        h("div", { class: "grow" }, h("h2", {}, shown.name), h("p", { class: "muted" }, sentence(shown))),
        h("span", { class: `chip ${shown.state}` }, shown.state),
        rule.state === "draft" ? null : toggle("On", rule.enabled, doing2(rule))),
      h("div", { class: "actions" }, rule.draft && [h("span", { class: "muted grow" }, "There is an unpublished draft."),
        h("button", { onclick: doing(() => publish(rule)) }, "Publish draft"),
        h("button", { class: "quiet", onclick: doing(async () => { await call("DELETE", `rules/${rule.id}/draft`, undefined, { etag: rule.draft.etag }); await reload(); }) }, "Discard draft")],
      rule.state !== "draft" && h("button", { class: "quiet", onclick: doing(async () => {
        if (!(await ask("Delete this rule?", `“${rule.name}” stops at once. You can restore it from History.`, "Delete"))) return;
        await call("DELETE", `rules/${rule.id}`, undefined, { etag: rule.etag });
        await reload();
      }) }, "Delete"), h("button", { onclick: () => edit(rule) }, "Edit")));
  }

  const doing2 = (rule) => async (enabled, input) => {
    try {
      await call("PATCH", `rules/${rule.id}`, { enabled }, { etag: rule.etag });
    } catch (error) {
      input.checked = !enabled;
      notice(error.message, "bad");
    }
    await reload();
  };

  async function publish(rule) {
    await post(`rules/${rule.id}/draft/publish`, {}, { etag: rule.draft.etag });
    notice(PUBLISHED);
    await reload();
  }

  function edit(rule) {
    const from = rule?.draft ?? rule;
    const form = makeForm(from, SPECS);
    const id = rule?.id ?? null;
    const newId = () => `${idOf(form.value("name"), "rule")}-${Date.now().toString(36).slice(-4)}`;
    // What the action needs beside it; a strength of the other direction makes way for one that fits.
    const needs = () => {
      const action = form.value("action"), boosts = action === "boost", scales = boosts || action === "suppress";
      form.at("multiplier")[0].hidden = !scales;
      form.at("positions")[0].hidden = action !== "pin";
      const given = form.value("multiplier");
      if (scales && (given === null || given > 1 !== boosts)) form.fields.multiplier.control.put(boosts ? "2" : "0.5");
      if (action === "pin" && !form.value("positions").length) form.fields.positions.control.put("1");
    };
    form.fields.action.control.input.addEventListener("change", needs);
    needs();
    const suited = (body) => ({ ...body, ...("action" in body ? { multiplier: ["boost", "suppress"].includes(body.action) ? form.value("multiplier") : null,
      positions: body.action === "pin" ? form.value("positions") : [] } : {}) });
    const whole = () => suited(Object.fromEntries(Object.entries({ enabled: true, audience: {}, ...form.whole() }).filter(([name]) => PARTS.has(name))));

    const effect = ruleEffect(() => (id ? { ...whole(), id } : whole()), (send) => form.submit(send), form.unknown);
    const box = formDialog(rule ? `Edit “${from.name}”` : "New rule", form, [form.at("name"),
      h("div", { class: "pair" }, form.at("action", "multiplier", "positions")),
      h("fieldset", {}, h("legend", {}, "Which videos (a video must match every field you fill in)"), h("div", { class: "pair" }, form.at(...LISTS.map(([name]) => `match.${name}`)))),
      h("details", {}, h("summary", {}, "Length, age, audience, schedule, priority"), h("div", { class: "pair" },
        form.at(...Object.keys(SPECS).filter((name) => !["name", "action", "multiplier", "positions"].includes(name) && !LISTS.some(([each]) => name === `match.${each}`))))),
      effect.place], [h("button", { type: "button", onclick: effect.look }, "Preview the effect"),
      h("button", { type: "button", onclick: doing(() => save(true)) }, "Save as draft"), saveButton("Publish")], () => save(false));

    // The rule and its draft as they are stored now; the tags of both count.
    async function newest() {
      const now = (await get("rules")).rules.find((each) => each.id === id);
      if (!now) throw new Error("Somebody deleted this rule while you were editing. Create it again as a new rule.");
      rule = now;
      return now.draft ?? now;
    }

    async function save(asDraft) {
      const saved = await form.submit(async () => {
        if (asDraft) return call("PUT", `rules/${id ?? newId()}/draft`, whole(), { etag: rule?.draft?.etag });
        const live = rule && rule.state !== "draft";
        const published = !live ? await post("rules", { ...whole(), id: id ?? newId() })
          : rule.draft ? await call("PUT", `rules/${id}`, whole(), { etag: rule.etag })
            : await call("PATCH", `rules/${id}`, suited(form.changes()), { etag: form.etag });
        if (rule?.draft) await call("DELETE", `rules/${id}/draft`, undefined, { etag: rule.draft.etag });
        return published;
      }, rule && newest, { known: true });
      if (!saved) return;
      box.close();
      if (asDraft || !rule || rule.state === "draft") notice(asDraft ? "Saved as a draft. Nobody sees it until you publish it." : PUBLISHED);
      else savedNotice("rule", id, reload, PUBLISHED);
      await reload();
    }
  }
  await reload();
}

function sentence(rule) {
  const parts = Object.entries(rule.match).flatMap(([name, value]) => Array.isArray(value)
    ? value.length ? [`${name === "videoIds" ? "ids" : name}: ${value.slice(0, 4).join(", ")}${value.length > 4 ? "…" : ""}`] : []
    : [value.min != null && `${name} from ${value.min}`, value.max != null && `${name} to ${value.max}`].filter(Boolean));
  const who = Object.values(rule.audience ?? {}).flat();
  const how = rule.action === "pin" ? ` at ${rule.positions.join(", ")}` : rule.multiplier ? ` ×${rule.multiplier}` : "";
  return `${rule.action}${how} · ${parts.join(" · ")}${who.length ? ` · for ${who.join(", ")}` : ""}${rule.startsAt ? ` · from ${moment(rule.startsAt)}` : ""}${rule.endsAt ? ` · until ${moment(rule.endsAt)}` : ""}`;
}
