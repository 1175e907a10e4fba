// Form of a video: every field that a content team can set.

import { call, get, post } from "./api.js";
import { figure, instant, jsonText, line, oneOf } from "./controls.js";
import { clock, doing, h, moment, notice, show } from "./dom.js";
import { formDialog, makeForm, saveButton, savedNotice } from "./forms.js";
import { player } from "./media.js";
import { pickMany, pickOne } from "./pickers.js";
import { ageBands, categories, countries, creators, languages, platforms, series, tags } from "./sources.js";
import { RATINGS } from "./texts.js";

const STATUSES = [["active", "Yes, from publish to expiry"], ["inactive", "No: inactive"], ["taken_down", "No: taken down"]];
const link = () => line({ placeholder: "https://…" }, null);

/** Fields in the order in which they stand, two a line; of a new video only, the id before them. @type {Record<string, import("./forms.js").Spec>} */
const SPECS = {
  mainTag: { label: "Category", kind: pickOne(categories) },
  creatorId: { label: "Creator", kind: pickOne(creators) },
  tags: { label: "Tags", kind: pickMany(tags) },
  maturityRating: { label: "Rating", kind: oneOf(RATINGS), start: "PG" },
  durationSeconds: { label: "Length (s)", kind: figure({ min: 1 }), start: 30 },
  language: { label: "Language", kind: pickOne(languages, {}, null) },
  editorialBoost: { label: "Editorial boost", kind: figure({ min: -10, max: 10, step: 0.5 }, 0), hint: "−10 to 10. Higher ranks it higher; 0 has no effect", start: 0 },
  popularityOverride: { label: "Popularity override", kind: figure({ min: 0, max: 100 }), hint: "0 to 100: rank it as popular as this percentile. Empty: use its real popularity" },
  countries: { label: "Countries", kind: pickMany(countries, { placeholder: "everywhere" }) },
  ageBands: { label: "Made for age bands", kind: pickMany(ageBands, { placeholder: "everyone" }), hint: "Such as 13-17. Other viewers see it lower in the feed" },
  platforms: { label: "Made for platforms", kind: pickMany(platforms, { placeholder: "all" }), hint: "Such as ios. Other viewers see it lower in the feed" },
  status: { label: "On air", kind: oneOf(STATUSES), start: "active" },
  thumbnailUrl: { label: "Thumbnail link", kind: link() },
  posterUrl: { label: "Poster link", kind: link() },
  width: { label: "Width (px)", kind: figure({ min: 1 }) },
  height: { label: "Height (px)", kind: figure({ min: 1 }) },
  seriesId: { label: "Series", kind: pickOne(series, {}, null), hint: "The id of its series. Empty: no series" },
  season: { label: "Season", kind: figure({ min: 0 }) },
  episode: { label: "Episode", kind: figure({ min: 0 }) },
  "action.label": { label: "Button label", kind: line({ maxlength: 60 }) },
  "action.url": { label: "Button link", kind: line({ placeholder: "https://…" }) },
  renditions: { label: "Renditions", kind: jsonText('[{"url": "https://…", "width": 720, "height": 1280, "bitrate": 2500000, "codecs": "avc1.64001f"}]', "Renditions") },
  captions: { label: "Captions", kind: jsonText('[{"language": "en", "url": "https://…"}]', "Captions") },
  metadata: { label: "Metadata", kind: jsonText('{"sku": "A-12", "price": 9.5}', "Metadata") },
  publishedAt: { label: "Publish at", kind: instant() },
  expiresAt: { label: "Expire at", kind: instant() },
};
const WIDE = {
  title: { label: "Title", kind: line({ maxlength: 200 }) },
  playbackUrl: { label: "Playback link", kind: line({ placeholder: "https://…" }) },
};
const NEW = { id: { label: "Id", kind: line() } };

// What is sent: a button without a label and a link is none.
function sent(form) {
  const body = form.changes();
  if (body.action && !body.action.label && !body.action.url) body.action = null;
  return body;
}

// Playback problems, read when somebody asks.
function playback(video) {
  const rows = h("div", {});
  const read = doing(async (event) => {
    if (!event.target.open || rows.children.length) return;
    const answer = await get(`videos/${encodeURIComponent(video.id)}/playback`);
    show(rows, h("ul", { class: "left" }, [["7 days", answer.last7d], ["28 days", answer.last28d]].map(([days, plays]) => h("li", {}, h("b", {}, `${days}: `),
      `${plays.starts.toLocaleString()} plays started, ${plays.stalls.toLocaleString()} stalled, ${plays.errors.toLocaleString()} failed`))));
  });
  return h("details", { ontoggle: read }, h("summary", {}, "Playback problems"), rows);
}

/** Opens the form; `saved` is awaited after a save. Without a video it makes a new one. @param {any} video @param {() => any} saved */
export function editVideo(video, saved) {
  const form = makeForm(video, { ...(video ? {} : NEW), ...WIDE, ...SPECS });
  const box = formDialog(video ? "Edit the video" : "New video", form, [
    video?.last7d && h("dl", { class: "figures" }, [["Views", video.last7d.views], ["Likes", video.last7d.likes], ["Impressions", video.last7d.impressions], ["Average watch time", clock(video.last7d.avgWatchTimeMs / 1000)]]
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, typeof value === "number" ? value.toLocaleString() : value)))),
    video && player(video),
    video && playback(video),
    form.at(...(video ? [] : ["id"]), ...Object.keys(WIDE)),
    h("div", { class: "pair" }, form.at(...Object.keys(SPECS))),
    video && h("p", { class: "hint" }, `Changed ${moment(video.updatedAt)}${video.updatedBy ? ` by ${video.updatedBy}` : ""}`),
  ], [saveButton()], async () => {
    if (video && !form.touched()) return box.close(); // nothing to send
    const done = await form.submit(() => (video ? call("PATCH", `videos/${encodeURIComponent(video.id)}`, sent(form), { etag: form.etag }) : post("videos", sent(form))),
      video && (() => get(`videos/${encodeURIComponent(video.id)}`)));
    if (!done) return;
    box.close();
    if (video) savedNotice("video", video.id, saved);
    else notice("Saved.");
    await saved();
  });
}
