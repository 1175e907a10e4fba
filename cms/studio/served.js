// Served page: explains a page by its feed request id and user hash, as far as it is still known.

import { call } from "./api.js";
import { field, h, moment, show, text } from "./dom.js";

export async function servedTab(place) {
  let page, user;
  const answer = h("div", { class: "cards", id: "served-answer", "aria-live": "polite" });

  async function explain(event) {
    event.preventDefault();
    show(answer, h("div", { class: "card empty", role: "status" }, "Looking it up …"));
    try {
      draw(await call("POST", "served-page", { feedRequestId: page.value.trim() }, { headers: { "X-User": user.value.trim() } }));
    } catch (error) {
      if (error.status === 401) throw error;
      show(answer, h("div", { class: "problem", role: "alert" }, error.message));
    }
  }

  function draw(told) {
    const facts = [["Served", moment(told.servedAt)], ["Mode", told.mode], ["Feed", told.feed ?? "not known"], ["Ranked by", told.modelVersion ?? "not known"],
      ["Known viewer", told.warm ? "yes" : "no: too few events"], ["Experiment", told.arm ?? (told.armNumber ? `arm ${told.armNumber}` : "none")],
      ["Exploration", told.exploredRank === null ? "no" : `at position ${told.exploredRank + 1} of the session, with a chance of ${(100 * told.propensity).toFixed(1)} %`]];
    show(answer,
      h("section", { class: "card" }, h("h2", {}, "The page"), h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
      h("section", { class: "card" }, h("h2", {}, "What was on it"), told.items ? h("ol", { class: "served" }, told.items.map(item)) :
        told.reported.length ? h("ul", {}, told.reported.map((id) => h("li", {}, h("code", {}, id)))) : h("p", { class: "muted" }, "Nothing is known about this page.")),
      h("section", { class: "card", id: "untold" }, h("h2", {}, "What is no longer known"), h("ul", { class: "cards" }, told.untold.map((each) => h("li", { "data-untold": each.what }, each.text)),
        told.items && h("li", { class: "muted" }, `Where a video has left the catalog, another one can be shown in its place, with a chance of ${(100 * told.mistaken).toFixed(2)} %.`))));
  }

  const item = (each) => h("li", { "data-place": each.place }, h("span", { class: "chip" }, each.place + 1), h("div", { class: "grow" },
    each.videoId ? h("b", {}, each.title || each.videoId) : h("b", {}, each.candidates.length ? "One of several videos" : "No longer in the catalog"),
    h("p", { class: "hint" }, each.videoId ? h("code", {}, each.videoId) : each.candidates.join(", "), each.reported ? " · reported by the app" : ""),
    each.contributions.length > 0 && h("p", { class: "hint" }, "Now: ", each.contributions.slice(0, 4).map((part) => `${part.feature.replaceAll("_", " ")} ${part.amount < 0 ? "−" : "+"}${Math.abs(part.amount).toFixed(2)}`).join(", "))));

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Served page"), h("p", { class: "muted" }, "Look up a page that a user got in the last 24 hours, and why each video was on it. The lookup records nothing."))),
    h("form", { class: "card", onsubmit: explain }, h("div", { class: "pair" },
      field("Feed request id", (id) => (page = text({ required: true, maxlength: 256 })(id)), "The feedRequestId of the app's response"),
      field("User hash", (id) => (user = text({ required: true, maxlength: 64, pattern: "[0-9a-f]{64}", placeholder: "64 hex digits" })(id)), "The user who got the page. The id alone is not enough")),
    h("div", { class: "actions" }, h("button", { class: "primary", type: "submit" }, "Explain"))), answer);
}
