// One video's form: every field of it that a team writes, with what is wrong told above it.

import { call, post } from "./api.js";
import { area, choice, clock, dialog, doing, field, h, list, localTime, moment, notice, number, show, text, utc, when } from "./dom.js";

const RATINGS = ["G", "PG", "PG13", "R", "NC17"].map((rating) => [rating, rating]);

const PLAYER_PARTS = [
  ["renditions", "Renditions", '[{"url": "https://…", "width": 720, "height": 1280, "bitrate": 2500000, "codecs": "avc1.64001f"}]'],
  ["captions", "Captions", '[{"language": "en", "url": "https://…"}]'],
  ["metadata", "Metadata", '{"sku": "A-12", "price": 9.5}'],
];
const json = (value) => (value && Object.keys(value).length ? JSON.stringify(value, null, 1) : "");

// What players need, and the place in a series: only what was touched, so that what this form cannot show stays as it is.
function playerParts(value, given) {
  const parts = {};
  for (const name of ["posterUrl", "width", "height", "seriesId", "season", "episode"]) {
    if (value(name) !== String(given[name] ?? "")) parts[name] = value(name) === "" ? null : ["posterUrl", "seriesId"].includes(name) ? value(name) : Number(value(name));
  }
  const button = { label: value("actionLabel"), url: value("actionUrl") };
  if (button.label !== (given.action?.label ?? "") || button.url !== (given.action?.url ?? "")) parts.action = button.label || button.url ? button : null;
  for (const [name, label] of PLAYER_PARTS) {
    if (value(name) === json(given[name])) continue;
    try {
      parts[name] = value(name) ? JSON.parse(value(name)) : null;
    } catch {
      throw new Error(`${label} must be JSON, as in the example.`);
    }
  }
  return parts;
}

// Opens the form; `saved` is awaited after a save. Without a video it makes a new one.
export function editVideo(video, saved) {
  const inputs = {};
  const keep = (name, make) => (id) => (inputs[name] = make(id));
  const faults = h("div", { class: "problem", role: "alert", hidden: true });
  const given = video ?? { tags: [], countries: [], maturityRating: "PG", durationSeconds: 30, editorialBoost: 0 };
  const box = dialog(video ? "Edit the video" : "New video", faults,
    video?.last7d && h("dl", { class: "figures" }, [["Views", video.last7d.views], ["Likes", video.last7d.likes], ["Shown", video.last7d.impressions], ["Watched on average", clock(video.last7d.avgWatchTimeMs / 1000)]]
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, typeof value === "number" ? value.toLocaleString() : value)))),
    video ? null : field("Id", keep("id", text({ required: true }))),
    field("Title", keep("title", text({ value: given.title ?? "", maxlength: 200 }))),
    field("Playback link", keep("playbackUrl", text({ value: given.playbackUrl ?? "", placeholder: "https://…" }))),
    h("div", { class: "pair" }, field("Category", keep("mainTag", text({ value: given.mainTag ?? "" }))), field("Creator", keep("creatorId", text({ value: given.creatorId ?? "" }))),
      field("Tags", keep("tags", text({ value: given.tags.join(", ") }))), field("Rating", keep("maturityRating", choice(RATINGS, given.maturityRating))),
      field("Length (s)", keep("durationSeconds", number({ value: given.durationSeconds, min: 1 }))), field("Language", keep("language", text({ value: given.language ?? "" }))),
      field("Editorial boost", keep("editorialBoost", number({ value: given.editorialBoost, min: -10, max: 10, step: 0.5 })), "−10 to 10"),
      field("Popularity override", keep("popularityOverride", number({ value: given.popularityOverride ?? "", min: 0, max: 100 })), "As popular as this percentile; empty: as it is"),
      field("Countries", keep("countries", text({ value: given.countries.join(", "), placeholder: "everywhere" }))), h("span", {}),
      field("Poster link", keep("posterUrl", text({ value: given.posterUrl ?? "", placeholder: "https://…" }))), h("span", {}),
      field("Width (px)", keep("width", number({ value: given.width ?? "", min: 1 }))), field("Height (px)", keep("height", number({ value: given.height ?? "", min: 1 }))),
      field("Series", keep("seriesId", text({ value: given.seriesId ?? "" })), "Its id; empty: none"), h("span", {}),
      field("Season", keep("season", number({ value: given.season ?? "", min: 0 }))), field("Episode", keep("episode", number({ value: given.episode ?? "", min: 0 }))),
      field("Button label", keep("actionLabel", text({ value: given.action?.label ?? "", maxlength: 60 }))), field("Button link", keep("actionUrl", text({ value: given.action?.url ?? "", placeholder: "https://…" }))),
      ...PLAYER_PARTS.map(([name, label, hint]) => field(label, keep(name, area({ rows: 3, spellcheck: "false", value: json(given[name]) })), hint)), h("span", {}),
      field("Publish", keep("publishedAt", when({ value: localTime(given.publishedAt) }))), field("Expire", keep("expiresAt", when({ value: localTime(given.expiresAt) })))),
    video && h("p", { class: "hint" }, `Changed ${moment(video.updatedAt)}${video.updatedBy ? ` by ${video.updatedBy}` : ""}`),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
      h("button", { type: "button", class: "primary", onclick: doing(async () => {
        const value = (name) => inputs[name].value.trim();
        const body2 = { title: value("title"), playbackUrl: value("playbackUrl"), mainTag: value("mainTag"), creatorId: value("creatorId"), tags: list(value("tags")), countries: list(value("countries")),
          maturityRating: value("maturityRating"), durationSeconds: Number(value("durationSeconds")), language: value("language") || null, editorialBoost: Number(value("editorialBoost") || 0),
          popularityOverride: value("popularityOverride") === "" ? null : Number(value("popularityOverride")), publishedAt: utc(value("publishedAt")), expiresAt: utc(value("expiresAt")) };
        try {
          Object.assign(body2, playerParts(value, given));
          if (video) await call("PATCH", `videos/${encodeURIComponent(video.id)}`, body2, { etag: video.etag });
          else await post("videos", { ...body2, id: value("id") });
        } catch (error) {
          show(faults, h("ul", {}, (error.errors?.length ? error.errors : [{ message: error.message }]).map((each) => h("li", {}, each.message))));
          faults.hidden = false;
          return;
        }
        box.close();
        notice("Saved.");
        await saved();
      }) }, "Save")));
}
