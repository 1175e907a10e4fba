// Rules: what is in force, what waits as a draft, and what a rule would do before it is saved.

import { call, get, post } from "./api.js";
import { ask, choice, dialog, doing, field, h, list, localTime, moment, notice, number, show, text, toggle, utc, when } from "./dom.js";
import { ruleIcon } from "./preview.js";

const ACTIONS = [["boost", "Boost: show more"], ["suppress", "Suppress: show less"], ["pin", "Pin to positions"],
  ["exclude", "Exclude: never show"], ["limit", "Limit the feed to these"]];
const LISTS = [["tags", "Tags (any)"], ["allTags", "Tags (all of them)"], ["categories", "Categories"], ["creators", "Creators"],
  ["videoIds", "Video ids"], ["playlists", "Playlists"]];
const AUDIENCE = [["countries", "Countries"], ["languages", "Languages"], ["ageBands", "Age bands"], ["platforms", "Platforms"]];

export async function rulesTab(place) {
  async function reload() {
    const { rules } = await get("rules");
    show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Rules"),
      h("p", { class: "muted" }, "Exclude beats limit, limit beats pins, pins beat boosts. Ratings beat them all.")),
    h("button", { class: "primary", onclick: () => edit(null) }, "New rule")),
    rules.length ? h("ul", { class: "cards" }, rules.map(card))
      : h("div", { class: "card empty" }, h("p", {}, "No rules yet. The ranking decides alone.")));
  }

  function card(rule) {
    const shown = rule.state === "draft" ? { ...rule.draft, state: "draft" } : rule;
    return h("li", { class: `card rule-card ${shown.state}`, "data-rule": rule.id },
      h("div", { class: "rule-line" }, h("span", { class: "rule-icon", "aria-hidden": "true" }, ruleIcon(shown)),
        h("div", { class: "grow" }, h("h2", {}, shown.name), h("p", { class: "muted" }, sentence(shown))),
        h("span", { class: `chip ${shown.state}` }, shown.state),
        rule.state === "draft" ? null : toggle("On", rule.enabled, doing2(rule))),
      h("div", { class: "actions" }, rule.draft && [h("span", { class: "muted grow" }, "A draft waits."),
        h("button", { onclick: doing(() => publish(rule)) }, "Publish draft"),
        h("button", { class: "quiet", onclick: doing(async () => { await call("DELETE", `rules/${rule.id}/draft`, undefined, { etag: rule.draft.etag }); await reload(); }) }, "Discard draft")],
      rule.state !== "draft" && h("button", { class: "quiet", onclick: doing(async () => {
        if (!(await ask("Delete this rule?", `“${rule.name}” stops at once. History can bring it back.`, "Delete"))) return;
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
    notice("Published. Every feed follows within 15 seconds.");
    await reload();
  }

  function edit(rule) {
    const from = rule?.draft ?? rule ?? { action: "boost", multiplier: 2, match: {}, audience: {}, enabled: true, priority: 0 };
    const inputs = {};
    const keep = (name, make) => (id) => (inputs[name] = make(id));
    const strength = h("div", {});
    const drawStrength = () => {
      const action = inputs.action?.value ?? from.action;
      delete inputs.multiplier;
      delete inputs.positions;
      show(strength, action === "boost" || action === "suppress"
        ? field("Multiplier", keep("multiplier", number({ step: 0.1, min: action === "boost" ? 1.1 : 0.1, max: action === "boost" ? 10 : 0.9,
          value: from.action === action ? from.multiplier : action === "boost" ? 2 : 0.5 })), action === "boost" ? "Above 1, 10 at the most" : "From 0.1 to below 1")
        : action === "pin" ? field("Positions", keep("positions", text({ value: (from.positions ?? [1]).join(", ") })), "1 is the top of the feed") : null);
    };
    const faults = h("div", { class: "problem", role: "alert", hidden: true });
    const effect = h("div", { class: "effect" });
    const box = dialog(rule ? `Edit “${from.name}”` : "New rule", faults,
      field("Name", keep("name", text({ value: from.name ?? "", required: true, maxlength: 100 }))),
      h("div", { class: "pair" }, field("What it does", keep("action", choice(ACTIONS, from.action, { onchange: drawStrength }))), strength),
      h("fieldset", {}, h("legend", {}, "Which videos (all that is filled in must hold)"), h("div", { class: "pair" }, LISTS.map(([name, label]) =>
        field(label, keep(`match.${name}`, text({ value: (from.match[name] ?? []).join(", "), placeholder: "a, b, c" })))))),
      h("details", {}, h("summary", {}, "Length, age, audience, schedule, priority"),
        h("div", { class: "pair" },
          field("Shortest (s)", keep("dmin", number({ min: 0, value: from.match.durationSeconds?.min ?? "" }))), field("Longest (s)", keep("dmax", number({ min: 0, value: from.match.durationSeconds?.max ?? "" }))),
          field("Older than (h)", keep("amin", number({ min: 0, value: from.match.ageHours?.min ?? "" }))), field("Newer than (h)", keep("amax", number({ min: 0, value: from.match.ageHours?.max ?? "" }))),
          AUDIENCE.map(([name, label]) => field(label, keep(`audience.${name}`, text({ value: (from.audience?.[name] ?? []).join(", "), placeholder: "everyone" })))),
          field("From", keep("startsAt", when({ value: localTime(from.startsAt) }))), field("Until", keep("endsAt", when({ value: localTime(from.endsAt) }))),
          field("Priority", keep("priority", number({ step: 1, value: from.priority ?? 0 })), "The higher one wins a position."))),
      effect,
      h("div", { class: "actions" }, h("button", { type: "button", onclick: doing(tryOut) }, "See the effect"),
        h("span", { class: "grow" }), h("button", { type: "button", onclick: doing(() => save(true)) }, "Save as draft"),
        h("button", { type: "button", class: "primary", onclick: doing(() => save(false)) }, "Publish")));
    drawStrength();

    function body() {
      const value = (name) => inputs[name]?.value.trim() ?? "";
      const span = (low, high) => Object.fromEntries([["min", value(low)], ["max", value(high)]].filter(([, v]) => v !== "").map(([k, v]) => [k, Number(v)]));
      const made = {
        name: value("name"), action: value("action"), enabled: from.enabled ?? true, priority: Number(value("priority") || 0),
        match: { ...Object.fromEntries(LISTS.map(([name]) => [name, list(value(`match.${name}`))])), durationSeconds: span("dmin", "dmax"), ageHours: span("amin", "amax") },
        audience: Object.fromEntries(AUDIENCE.map(([name]) => [name, list(value(`audience.${name}`))])),
        startsAt: utc(value("startsAt")), endsAt: utc(value("endsAt")),
      };
      if (inputs.multiplier) made.multiplier = Number(value("multiplier"));
      if (inputs.positions) made.positions = list(value("positions")).map(Number);
      return made;
    }
    const id = rule?.id ?? null;
    const newId = () => (inputs.name.value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 48) || "rule") + "-" + Date.now().toString(36).slice(-4);

    async function guarded(action) {
      faults.hidden = true;
      try {
        return await action();
      } catch (error) {
        show(faults, h("ul", {}, (error.errors?.length ? error.errors : [{ message: error.message }]).map((each) => h("li", {}, each.message))));
        faults.hidden = false;
        faults.scrollIntoView({ block: "nearest" });
        return null;
      }
    }

    function tryOut() { return guarded(async () => {
      const answer = await post("preview", { draft: { rules: [{ ...body(), id: id ?? "new-rule" }] } });
      const touched = answer.draft.rules.find((each) => each.id === (id ?? "new-rule"));
      const moved = answer.draft.items.filter((item) => item.moved !== 0);
      show(effect, h("p", {}, h("b", {}, touched ? `Matches ${touched.matches} videos. ` : "Not in force for everyone now. "), `${moved.length} of the first ${answer.draft.items.length} positions change for a new viewer.`),
        h("ol", {}, answer.draft.items.slice(0, 8).map((item) => h("li", {}, item.title, " ",
          h("span", { class: `mark ${item.moved === null ? "new" : item.moved > 0 ? "up" : item.moved < 0 ? "down" : ""}` }, item.moved === null ? "new" : item.moved ? `${item.moved > 0 ? "▲" : "▼"} ${Math.abs(item.moved)}` : "")))));
    }); }

    function save(asDraft) { return guarded(async () => {
      if (asDraft) await call("PUT", `rules/${id ?? newId()}/draft`, body(), { etag: rule?.draft?.etag });
      else if (rule && rule.state !== "draft") await call("PUT", `rules/${id}`, body(), { etag: rule.etag });
      else await post("rules", { ...body(), id: id ?? newId() });
      if (!asDraft && rule?.draft) await call("DELETE", `rules/${id}/draft`, undefined, { etag: rule.draft.etag });
      box.close();
      notice(asDraft ? "Kept as a draft: nobody sees it yet." : "Published. Every feed follows within 15 seconds.");
      await reload();
    }); }
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
