// Learning: the models of each night, which one is served and why, their measured gain, and the holdout.

import { get, post } from "./api.js";
import { ask, doing, h, notice, show } from "./dom.js";

const STATES = {
  on: "A better model is served automatically.",
  suggest: "A better model is suggested, and you promote it.",
  off: "Learned models are not served.",
};

export async function learningTab(place) {
  const content = h("div", { class: "cards learning" });
  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Learning"),
    h("p", { class: "muted" }, "Each night the app trains a ranking model on what your viewers watched. It serves a model only if it measurably beats the popular feed."))), content);

  async function load() {
    content.setAttribute("aria-busy", "true");
    show(content, h("div", { class: "card empty", role: "status" }, "Loading …"));
    let learning;
    try {
      learning = await get("learning");
    } catch (error) {
      if (error.status === 401) throw error; // the shell asks for another key
      return show(content, h("div", { class: "card empty", role: "alert" }, h("p", {}, error.message),
        h("button", { onclick: doing(load) }, "Try again")));
    } finally {
      content.removeAttribute("aria-busy");
    }
    show(content, servedCard(learning), suggestionCard(learning, load), reportCard(learning), holdoutCard(learning), takenBackCard(learning));
  }
  await load();
}

const card = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children);

const percent = (share) => `${share > 0 ? "+" : share < 0 ? "−" : "±"}${(100 * Math.abs(share)).toFixed(1)} %`;

// A lift in words: its value, and where it lies with 95 % certainty.
function inWords(lift) {
  const between = `between ${percent(lift.low)} and ${percent(lift.high)}`;
  const sure = lift.low > 0 ? "surely more" : lift.high < 0 ? "surely less" : "it could be chance";
  return `${percent(lift.value)} (${between}: ${sure})`;
}

function figure(label, lift, meaning, none = "Not known yet.") {
  return [h("dt", {}, label), h("dd", {}, h("b", {}, lift ? inWords(lift) : none), h("small", { class: "hint" }, meaning))];
}

function servedCard({ state, promoting, served }) {
  const who = { promotion: "Promoted by hand", learning: "Learned here", shipped: "As shipped" }[served.by] ?? served.by;
  return card("What is served now",
    h("p", {}, h("span", { class: `badge ${served.by === "shipped" ? "warn" : "good"}`, "data-by": served.by }, h("span", { class: "dot" }), who), " ", served.why),
    h("dl", { class: "figures" },
      h("dt", {}, "Personal pages"), h("dd", {}, h("code", {}, served.personal)),
      h("dt", {}, "The popular feed"), h("dd", {}, h("code", {}, served.popularity), h("small", { class: "hint" }, "For new viewers, for those who opted out, and while personal feeds are off."))),
    h("p", { class: "muted" }, `${STATES[state] ?? ""} You can change this in Settings.`),
    promoting ? null : h("p", { class: "problem", role: "status" }, "Operators have stopped promotions (flag auto-models). The model served now stays."));
}

function suggestionCard({ suggestion }, load) {
  if (!suggestion) return null;
  const promote = doing(async () => {
    if (!(await ask("Promote this version?", `${suggestion.version} will rank personal pages, and order the popular feed. You can roll back.`, "Promote"))) return;
    await post(`models/${encodeURIComponent(suggestion.version)}/promote`);
    notice("Promoted. All feeds change within 15 seconds.");
    await load();
  });
  return card("Suggested", h("p", {}, h("code", {}, suggestion.version), suggestion.why ? ` – ${suggestion.why}` : ""),
    h("div", { class: "actions" }, h("button", { class: "primary", "data-promote": suggestion.version, onclick: promote }, "Promote")));
}

function reportCard({ night, report }) {
  if (!report) return card("Measurements of the last night", h("p", { class: "muted" }, night ? `Nothing was measured on ${night}.` : "No model has been trained for this tenant yet. The first one comes with the next night."));
  const explored = report.explored;
  const points = explored?.difference && { value: explored.difference.value, low: explored.difference.low, high: explored.difference.high };
  return card(`Measurements of the night of ${night}`, h("dl", { class: "figures" },
    figure("Personal against popular", report.lift, `How much better the personal model predicts long views than the popular feed, measured on ${report.requests} requests of a day it was not trained on.`),
    figure("Deciding difference", report.decidedBy, `Over ${report.decidedOverDays} ${report.decidedOverDays === 1 ? "day" : "days"}. The model is served only if this is surely more.`),
    figure("Placebo", report.placebo, "The same measure for videos that were shown but not watched. If it is close to the first line, the model only repeats earlier pages."),
    figure("Without learning", report.withoutLearning, "How the shipped popularity model compares with the learned one."),
    figure("On random videos", points, explored ? `On ${explored.shown} videos that were shown at random: how much better the personal model predicts long views.` : "Measured on the one place of a page that is filled at random.", "Too few to say.")));
}

function holdoutCard({ holdout }) {
  const rows = holdout.days.slice(-7).map((day) => h("tr", {}, h("td", {}, day.day), h("td", {}, seconds(day.modelSeconds)), h("td", {}, seconds(day.holdoutSeconds)), h("td", {}, `${day.modelUsers} / ${day.holdoutUsers}`)));
  return card("Holdout group",
    h("p", {}, holdout.on ? `${holdout.percent} % of your viewers never get a learned personal model. If they watch more than the others, the model is withdrawn automatically, and all viewers get the popular ranking.` : "There is no holdout group."),
    h("p", { "data-verdict": true }, h("b", {}, holdout.verdict)),
    holdout.lift && h("p", {}, `Watch time per viewer and day, with the model: ${inWords(holdout.lift)}, over ${holdout.judgedDays} ${holdout.judgedDays === 1 ? "day" : "days"}.`),
    rows.length > 0 && h("table", { class: "days" }, h("thead", {}, h("tr", {}, ["Day", "With the model", "Holdout", "Viewers (model / holdout)"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows)));
}

const seconds = (value) => (value === null ? "–" : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`);

function takenBackCard({ takenBack, takenBackOn, nothingPromotedUntil }) {
  if (!takenBack.length) return null;
  return card("Withdrawn models", h("p", {}, `Last on ${takenBackOn ?? "an unknown day"}: its viewers watched less than the holdout group.${nothingPromotedUntil ? ` Nothing is promoted before ${nothingPromotedUntil}.` : ""}`),
    h("ul", {}, takenBack.map((version) => h("li", {}, h("code", {}, version)))));
}
