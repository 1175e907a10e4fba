// Preview of a rule: the feed before and after it, for a viewer of its audience at a time when it applies.

import { post } from "./api.js";
import { zone } from "./controls.js";
import { doing, h, localTime, show, skeleton, utc } from "./dom.js";
import * as values from "./sources.js";

const PLACES = 10;
const HERE = "rule-in-the-form";

/** What of a viewer a rule can name: its name, its label, the list of the rule, and what its values are called. @type {[string, string, string, import("./sources.js").Source][]} */
const VIEWER = [["country", "Country", "countries", values.countries], ["language", "Language", "languages", values.languages],
  ["ageBand", "Age band", "ageBands", values.ageBands], ["platform", "Platform", "platforms", values.platforms]];

/** When a rule holds next: from its start where that is to come, else now. @param {{ startsAt?: string | null, endsAt?: string | null }} rule */
const nextTime = (rule) => (rule.startsAt && Date.parse(rule.startsAt) > Date.now() ? new Date(Date.parse(rule.startsAt)).toISOString() : null);

/**
 * The part of a rule's form that shows what it would do.
 * @param {() => any} rule what the form says now; raises where it cannot be read
 * @param {(send: () => Promise<any>) => Promise<any>} told runs a call and tells at the form what goes wrong
 * @param {() => Promise<string[]>} unknown values of the rule that no video has
 */
export function ruleEffect(rule, told, unknown) {
  const place = h("div", { class: "effect", role: "status" });
  /** @type {Record<string, any>} */
  const chosen = { consented: true, at: null, timed: false, likes: "" };

  // Who may be looked at as: those that the rule names, else anybody.
  function viewerControls(audience) {
    const made = VIEWER.map(([name, label, list, source]) => {
      const named = audience[list] ?? [];
      if (!named.includes(chosen[name])) chosen[name] = named[0] ?? null;
      const id = `effect-${name}`;
      return named.length > 0 && h("div", { class: "field" }, h("label", { for: id }, label),
        h("select", { id, onchange: (event) => { chosen[name] = event.target.value; look(); } }, named.map((value) => h("option", { value, selected: value === chosen[name] }, source.name(value)))));
    });
    return [made, h("div", { class: "field" }, h("label", { for: "effect-consent" }, "Consent"),
      h("select", { id: "effect-consent", onchange: (event) => { chosen.consented = event.target.value === "yes"; look(); } },
        [["yes", "a personal feed"], ["no", "opted out"]].map(([value, text]) => h("option", { value, selected: (value === "yes") === chosen.consented }, text)))),
    h("div", { class: "field" }, h("label", { for: "effect-likes" }, "Likes"),
      h("input", { id: "effect-likes", autocomplete: "off", placeholder: "a category; empty: a new viewer", value: chosen.likes, onchange: (event) => { chosen.likes = event.target.value; look(); } })),
    h("div", { class: "field" }, h("label", { for: "effect-at" }, "When"),
      h("input", { id: "effect-at", type: "datetime-local", step: 1, value: localTime(chosen.at ?? new Date().toISOString()), onchange: (event) => { Object.assign(chosen, { at: utc(event.target.value), timed: true }); look(); } }),
      h("small", { class: "hint" }, `Time in ${zone()}`))];
  }

  const look = doing(() => told(async () => {
    const body = { id: HERE, ...rule(), enabled: true };
    if (!chosen.timed) chosen.at = nextTime(body);
    const fields = viewerControls(body.audience ?? {});
    const focused = place.contains(document.activeElement) ? document.activeElement.id : null;
    show(place, skeleton(2));
    const likes = chosen.likes.split(",").map((each) => each.trim()).filter(Boolean);
    const answer = await post("preview", { limit: PLACES, at: chosen.at,
      viewer: { ...Object.fromEntries(VIEWER.map(([name]) => [name, chosen[name]])), consented: chosen.consented, likedCategories: likes },
      draft: { rules: [body] } });
    show(place, h("h3", {}, "What this viewer sees"), h("div", { class: "viewer" }, fields), verdict(answer, body.id, await unknown()), h("div", { class: "before-after" },
      column("Before", answer.live.items.map((item) => [item.title, null])),
      column("After", answer.draft.items.map((item) => [item.title, moved(item)]))),
    answer.draft.left?.length > 0 && h("p", { class: "hint" }, `No longer among the first ${PLACES}: ${answer.draft.left.map((each) => each.title).join(", ")}.`));
    if (focused) document.getElementById(focused)?.focus();
  }));

  function verdict(answer, id, odd) {
    const found = answer.draft.rules.find((each) => each.id === id);
    const changed = answer.draft.items.filter((item) => item.moved !== 0).length + (answer.draft.left?.length ?? 0);
    const why = odd.length ? ` ${odd.join(" ")}` : " No video in the catalog matches all its conditions.";
    if (!found) return h("p", { class: "problem" }, "The rule does not apply to this viewer at this time. Check its audience and schedule.");
    if (!found.matches) return h("p", { class: "problem", "data-nothing": true }, h("b", {}, "The rule matches no video, so it would have no effect."), why);
    return h("p", {}, h("b", {}, `Matches ${found.matches} ${found.matches === 1 ? "video" : "videos"}. `),
      changed ? `${answer.draft.items.filter((item) => item.moved !== 0).length} of the first ${answer.draft.items.length} positions change.` : "The first positions do not change for this viewer.");
  }
  return { place, look };
}

const column = (title, items) => h("section", {}, h("h4", {}, title), items.length ? h("ol", {}, items.map(([text, mark]) => h("li", {}, text, " ", mark))) : h("p", { class: "muted" }, "No video."));

/** How far a video moved, as a mark. */
export function moved(item) {
  if (item.moved === null) return h("span", { class: "mark new" }, "new");
  if (!item.moved) return null;
  return h("span", { class: `mark ${item.moved > 0 ? "up" : "down"}`, "aria-label": `${item.moved > 0 ? "up" : "down"} ${Math.abs(item.moved)}` }, `${item.moved > 0 ? "▲" : "▼"} ${Math.abs(item.moved)}`);
}
