// Series: the videos of each, by season and episode.

import { call, get } from "./api.js";
import { choice, clock, doing, field, h, notice, show, skeleton } from "./dom.js";
import { editVideo } from "./video_form.js";

const PAGE = 100;
const NOT_NUMBERED = Infinity; // a video without a number comes after those with one

export async function seriesTab(place) {
  const list = h("div", { class: "card table-card" });
  const pick = h("div", {});
  let chosen = null;
  let turn = 0; // only the series that was chosen last is shown

  async function reload() {
    const { values, total } = await get(`values/series?limit=${PAGE}`);
    if (chosen === null || !values.some(({ value }) => value === chosen)) chosen = values[0]?.value ?? null;
    show(pick, chosen === null ? null : field("Series", choice(values.map(({ value, videos }) => [value, `${value} (${videos.toLocaleString()})`]), chosen,
      { onchange: doing(async (event) => { chosen = event.target.value; await draw(); }) }), total > values.length ? `The largest ${values.length} of ${total.toLocaleString()}` : null));
    await draw();
  }

  async function draw() {
    const mine = ++turn;
    if (chosen === null) return show(list, h("p", { class: "empty" }, "No series yet. To start one, fill in the field Series of a video."));
    show(list, skeleton());
    const videos = [];
    let cursor = null;
    do {
      const answer = await get(`videos?${new URLSearchParams({ series: chosen, limit: String(PAGE), ...(cursor ? { cursor } : {}) })}`);
      videos.push(...answer.videos);
      cursor = answer.nextCursor;
    } while (cursor && mine === turn);
    if (mine !== turn) return;
    show(list, h("table", {}, h("thead", {}, h("tr", {}, ["Video", "Season", "Episode", "Length", "State", ""].map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, inOrder(videos).map(row))));
  }

  function row(video) {
    const number = (label, name) => h("td", { "data-label": label, class: "figure" }, video[name] ?? "–");
    return h("tr", { "data-video": video.id }, h("td", { class: "main-cell" }, h("button", { class: "link", onclick: () => editVideo(video, reload) }, video.title), " ", h("code", {}, video.id)), number("Season", "season"), number("Episode", "episode"),
      h("td", { "data-label": "Length" }, clock(video.durationSeconds)), h("td", { "data-label": "State" }, h("span", { class: `chip ${video.state}` }, video.state.replace("_", " "))),
      h("td", { class: "row-actions" }, h("button", { class: "quiet", "aria-label": `Remove ${video.title} from the series`, onclick: doing(async () => {
        await call("PATCH", `videos/${encodeURIComponent(video.id)}`, { seriesId: null, season: null, episode: null }, { etag: video.etag });
        notice("Removed from the series.");
        await reload();
      }) }, "Remove")));
  }

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Series"), h("p", { class: "muted" }, "Sorted by season, then episode. Apps request a series by its id. ", h("a", { href: "#settings" }, "Settings"), " say whether a feed offers the next episode."))), pick, list);
  await reload();
}

/** Videos by season, episode, id. @param {any[]} videos */
function inOrder(videos) {
  const key = ({ season, episode }) => [season ?? NOT_NUMBERED, episode ?? NOT_NUMBERED];
  return [...videos].sort((one, other) => {
    const [first, second] = [key(one), key(other)];
    return (first[0] === second[0] ? 0 : first[0] - second[0]) || (first[1] === second[1] ? 0 : first[1] - second[1]) || (one.id < other.id ? -1 : 1);
  });
}
