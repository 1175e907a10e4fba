// Preview: the feed of a described viewer, the reasons for each video, and the effect of changed weights.

import { call, get, post } from "./api.js";
import { choice, clock, debounce, doing, field, h, list, notice, show, text } from "./dom.js";
import { playVideo, thumb } from "./media.js";

const GROUPS = {
  "Popularity": { demand_1h: "Last hour", demand_6h: "Last 6 hours", demand_24h: "Last day", demand_7d: "Last week" },
  "Quality": { quality: "Watched long", skip_rate: "Skips", approval: "Likes and shares", watch_percentile: "Share watched", recency: "New videos",
    editorial_boost: "Editorial boost" },
  "Taste": { recent_category: "Recently watched category", category_affinity: "Category", tag_affinity: "Tags",
    creator_affinity: "Creator", recent_creator: "Recently watched creator", next_watch: "Often watched next" },
  "Match": { recent_skips: "Recently skipped category", category_skips: "Skipped category", duration_match: "Usual length",
    language_match: "Same language", country_match: "Same country" },
};
export const NAMES = Object.assign({ rules: "Rules", bias: "Base", category_watch: "Category watch time",
  duration: "Length", is_mature: "Mature", popularity_taste: "Taste for popular videos", approval_taste: "Taste for liked videos" }, ...Object.values(GROUPS));
const label = (feature) => NAMES[feature] ?? feature.replaceAll("_", " ");

// Kept while the page is open, so that going to another tab and back loses nothing.
const state = { viewer: { country: "", language: "en", ageBand: "", platform: "", liked: "", tags: "", skipped: "", user: "" }, draft: {}, why: "", selected: null };

export async function previewTab(place) {
  const [configuration, models] = await Promise.all([get("configuration"), get("models")]);
  const base = models.models.find((model) => model.live)?.weights ?? {};
  const saved = { ...base, ...configuration.weights };
  let etag = configuration.etag;
  let shown = null;
  const phone = h("ol", { class: "feed", id: "feed", "aria-label": "The feed" });
  const status = h("p", { class: "phone-status", id: "mode" });
  const explanation = h("div", { class: "card explanation", id: "explanation", "aria-live": "polite" });
  const drafts = h("div", { class: "draft-bar", id: "draft-bar", hidden: true });

  const weightsOf = () => ({ ...configuration.weights, ...state.draft });

  let turn = 0; // only the newest answer is shown, whichever comes last

  async function refresh() {
    const mine = ++turn;
    const { viewer } = state;
    const body = {
      viewer: { country: viewer.country || null, language: viewer.language || null, ageBand: viewer.ageBand || null,
        platform: viewer.platform || null, likedCategories: list(viewer.liked), likedTags: list(viewer.tags), skippedCategories: list(viewer.skipped) },
      why: state.why ? [state.why] : [],
      draft: Object.keys(state.draft).length ? { configuration: { weights: weightsOf() } } : null,
    };
    const answer = await post("preview", body, { headers: viewer.user ? { "X-User": viewer.user } : {} });
    if (mine !== turn) return;
    shown = answer.draft ?? answer.live;
    drawFeed(answer);
    drawExplanation(answer);
    drawDrafts(answer);
  }
  const soon = debounce(120, () => refresh().catch((error) => notice(error.message, "bad")));

  function drawFeed(answer) {
    if (!shown.items.some((item) => item.videoId === state.selected)) state.selected = shown.items[0]?.videoId ?? null;
    status.textContent = shown.mode === "personalized" ? `Personal feed · ${shown.modelVersion}`
      : `Popular feed · ${shown.reasonText ?? ""}`;
    show(phone, shown.items.map((item) => h("li", {}, h("button", {
      class: "video", "data-video": item.videoId, "aria-pressed": String(item.videoId === state.selected),
      onclick: () => { state.selected = item.videoId; drawFeed(answer); drawExplanation(answer);
        phone.querySelector('[aria-pressed="true"]')?.focus(); } },
    thumb(item, "", h("span", { class: "place" }, item.rank + 1)),
    h("span", { class: "about" }, h("b", {}, item.title),
      h("small", {}, `${item.mainTag} · ${clock(item.durationSeconds)} · ${item.maturityRating}`)),
    h("span", { class: "marks" }, movedMark(item, answer), item.rules.map((rule) => h("span", { class: "mark rule", role: "img", "aria-label": `Rule: ${rule.name}` }, ruleIcon(rule)))),
    ))), shown.items.length ? null : h("li", { class: "empty" }, "No video can be shown to this viewer. Check Settings and Rules."));
  }

  function drawExplanation(answer) {
    const item = shown.items.find((each) => each.videoId === state.selected);
    const largest = Math.max(...(item?.contributions ?? []).map((part) => Math.abs(part.amount)), 0.01);
    show(explanation, item ? [
      h("h2", {}, `Why “${item.title}”`),
      h("p", { class: "muted" }, `Position ${item.rank + 1} · score ${item.score.toFixed(2)} · `, h("code", {}, item.videoId), " ", h("button", { class: "link", "aria-label": `Play ${item.title}`, onclick: playVideo(item.videoId) }, "Play")),
      item.rules.length ? h("p", { class: "chips" }, item.rules.map((rule) => h("span", { class: "chip" }, `${ruleIcon(rule)} ${rule.name}`))) : null,
      h("ul", { class: "parts" }, item.contributions.slice(0, 12).map((part) => h("li", {
        class: part.amount < 0 ? "minus" : "plus", vars: { "--size": `${(50 * Math.abs(part.amount)) / largest}%` } },
      h("span", { class: "part-name" }, label(part.feature), h("small", { class: "hint" }, `${part.value.toFixed(3)} × ${Number(part.weight.toFixed(3))}, ${part.unit}`)), h("span", { class: "part-bar" }),
      h("span", { class: "part-amount" }, `${part.amount > 0 ? "+" : "−"}${Math.abs(part.amount).toFixed(2)}`)))),
      h("p", { class: "hint" }, "Each part is a value × its weight. Together they add up to the score."),
    ] : h("p", { class: "muted" }, "Choose a video to see why it is in the feed."),
    whyBox(answer),
    shown.left?.length ? [h("h3", {}, "No longer on the page"), h("ul", { class: "left" }, shown.left.slice(0, 6).map((gone) =>
      h("li", {}, h("b", {}, gone.title), ` was at ${gone.before + 1}. `, h("span", { class: "muted" }, gone.text))))] : null);
  }

  function whyBox(answer) {
    const found = answer.why[0];
    return h("form", { class: "why", onsubmit: (event) => { event.preventDefault(); state.why = event.target.elements.why.value.trim(); soon(); } },
      h("h3", {}, "Why is a video missing?"),
      h("div", { class: "row" }, h("input", { name: "why", "aria-label": "Id of a video", placeholder: "Id of a video", value: state.why }),
        h("button", {}, "Explain")),
      found && h("p", { class: "answer", id: "why-answer" }, found.title ? h("b", {}, `${found.title}: `) : null, found.text));
  }

  function drawDrafts(answer) {
    const count = Object.keys(state.draft).length;
    drafts.hidden = !count;
    const moved = (answer.draft?.items ?? []).filter((item) => item.moved !== 0).length;
    show(drafts, h("span", { id: "draft-summary" }, `${count} ${count === 1 ? "weight" : "weights"} changed · ${moved} ${moved === 1 ? "video" : "videos"} moved`),
      h("button", { class: "quiet", onclick: () => { state.draft = {}; drawSliders(); soon(); } }, "Discard"),
      h("button", { class: "primary", id: "save-weights", onclick: doing(save) }, "Save"));
  }

  async function save() {
    const answer = await call("PATCH", "configuration", { weights: weightsOf(), reason: "Weights moved in the Studio" }, { etag });
    etag = answer.etag;
    Object.assign(configuration, answer);
    Object.assign(saved, base, answer.weights);
    state.draft = {};
    notice("Saved. All feeds change within 15 seconds. You can revert it in History.");
    drawSliders();
    await refresh();
  }

  const sliders = h("div", { class: "sliders" });
  function drawSliders() {
    show(sliders, Object.entries(GROUPS).map(([group, features], at) => h("details", { class: "group", open: at === 0 || at === 2 },
      h("summary", {}, group), Object.entries(features).map(([feature, name]) => slider(feature, name)))));
  }

  function slider(feature, name) {
    const value = state.draft[feature] ?? saved[feature] ?? 0;
    const id = `weight-${feature}`;
    const output = h("output", { for: id }, Number(value).toFixed(2));
    const line = h("div", { class: "slider", vars: { "--at": `${((Number(value) + 2) / 5) * 100}%` } },
      h("label", { for: id }, name), output,
      h("input", { id, type: "range", min: -2, max: 3, step: 0.05, value, "data-feature": feature, oninput: (event) => {
        const moved = Number(event.target.value);
        if (Math.abs(moved - (saved[feature] ?? 0)) < 1e-9) delete state.draft[feature];
        else state.draft[feature] = moved;
        output.textContent = moved.toFixed(2);
        line.style.setProperty("--at", `${((moved + 2) / 5) * 100}%`);
        line.classList.toggle("changed", feature in state.draft);
        soon();
      } }));
    line.classList.toggle("changed", feature in state.draft);
    return line;
  }

  const set = (name) => (event) => { state.viewer[name] = event.target.value.trim(); soon(); };
  const bands = [["", "Not known"], ...Object.keys(configuration.ageBandPolicies).map((band) => [band, band])];
  show(place,
    h("div", { class: "steer" },
      h("div", { class: "card" }, h("h2", {}, "Viewer"),
        field("Likes", text({ value: state.viewer.liked, placeholder: "fitness, travel", oninput: set("liked"), "data-viewer": "liked" }), "Categories, separated by commas. Empty: a new viewer."),
        h("div", { class: "pair" }, field("Likes tags", text({ value: state.viewer.tags, placeholder: "none", oninput: set("tags") })),
          field("Skips categories", text({ value: state.viewer.skipped, placeholder: "none", oninput: set("skipped") }))),
        h("div", { class: "pair" }, field("Country", text({ value: state.viewer.country, placeholder: "any", maxlength: 2, oninput: set("country") })),
          field("Language", text({ value: state.viewer.language, placeholder: "any", oninput: set("language") }))),
        h("div", { class: "pair" }, field("Age band", choice(bands, state.viewer.ageBand, { onchange: set("ageBand") })),
          field("Platform", choice([["", "any"], ["ios", "iOS"], ["android", "Android"], ["web", "Web"]], state.viewer.platform, { onchange: set("platform") }))),
        h("details", {}, h("summary", {}, "A real user"), field("User hash", text({ value: state.viewer.user, placeholder: "64 hex digits", oninput: set("user") }),
          "The preview then uses this user's history instead of the likes above. It records nothing about the user."))),
      h("div", { class: "card" }, h("h2", {}, "Weights"), h("p", { class: "muted" }, "Weights say how much each signal counts in the ranking. Move one to see how the feed changes. Viewers see it only after you save."), sliders)),
    h("div", { class: "stage" }, h("div", { class: "phone" }, h("div", { class: "notch" }), status, phone), drafts),
    explanation);
  drawSliders();
  await refresh();
}

function movedMark(item, answer) {
  if (!answer.draft) return null;
  if (item.moved === null) return h("span", { class: "mark new" }, "new");
  if (!item.moved) return null;
  const up = item.moved > 0;
  return h("span", { class: `mark ${up ? "up" : "down"}`, "aria-label": `${up ? "up" : "down"} ${Math.abs(item.moved)}` }, `${up ? "▲" : "▼"} ${Math.abs(item.moved)}`);
}

export function ruleIcon(rule) {
  return { boost: "↑", suppress: "↓", pin: "#", exclude: "×", limit: "=" }[rule.action] ?? "•";
}
