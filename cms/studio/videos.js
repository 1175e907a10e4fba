// The video table: find, edit, take down, restore, import.

import { get, post } from "./api.js";
import { ask, debounce, doing, h, hue, notice, show } from "./dom.js";
import { importVideos } from "./import_form.js";
import { editVideo } from "./video_form.js";

const STATES = [["", "All states"], ["live", "Live"], ["scheduled", "Scheduled"], ["expired", "Expired"], ["inactive", "Inactive"], ["taken_down", "Taken down"]];

export async function videosTab(place) {
  const filters = { q: "", state: "" };
  const body = h("tbody", {});
  const more = h("div", { class: "actions center" });

  let turn = 0; // only the newest answer is shown, whichever comes last
  let loading = 0;

  async function load(cursor = null) {
    const mine = ++turn;
    const asked = new URLSearchParams({ limit: "30", ...Object.fromEntries(Object.entries(filters).filter(([, value]) => value)), ...(cursor ? { cursor } : {}) });
    loading += 1;
    const answer = await get(`videos?${asked}`).finally(() => { loading -= 1; });
    if (mine !== turn) return;
    if (!cursor) show(body);
    body.append(...answer.videos.map(row));
    if (!body.children.length) body.append(h("tr", {}, h("td", { colspan: 6, class: "empty" }, "No video fits.")));
    show(more, answer.nextCursor && h("button", { onclick: doing(() => load(answer.nextCursor)) }, "More"));
  }

  function row(video) {
    const down = video.state === "taken_down";
    return h("tr", { "data-video": video.id, class: video.state },
      h("td", { class: "main-cell" }, h("div", {}, h("span", { class: "thumb small", vars: { "--hue": hue(video.mainTag) } }),
        h("button", { class: "link", onclick: () => editVideo(video, load) }, video.title), h("code", {}, video.id))),
      h("td", { "data-label": "Category" }, video.mainTag), h("td", { "data-label": "Rating" }, video.maturityRating),
      h("td", { "data-label": "State" }, h("span", { class: `chip ${video.state}` }, video.state.replace("_", " "))),
      h("td", { class: "figure", "data-label": "Views, 7 days" }, video.last7d ? video.last7d.views.toLocaleString() : "–"),
      h("td", { class: "row-actions" }, h("button", { class: down ? "" : "danger quiet", onclick: doing(() => change(video, down)) }, down ? "Restore" : "Take down")));
  }

  async function change(video, down) {
    if (!down && !(await ask("Take this video down?", `“${video.title}” leaves every feed within 15 seconds, also in the middle of a walk.`, "Take down"))) return;
    const after = await post(`videos/${encodeURIComponent(video.id)}/${down ? "restore" : "takedown"}`);
    notice(!down ? "Taken down." : after.status === "active" ? "It may be shown again." : "No longer taken down, and inactive as before.");
    if (loading) await load();
    else body.querySelector(`[data-video="${CSS.escape(video.id)}"]`)?.replaceWith(row(after));
  }

  const search = debounce(200, () => load().catch((error) => notice(error.message, "bad")));
  show(place, h("div", { class: "head" }, h("h1", {}, "Videos"), h("div", { class: "row" }, h("button", { onclick: () => importVideos(load) }, "Import"), h("button", { class: "primary", onclick: () => editVideo(null, load) }, "New video"))),
    h("div", { class: "row filters" }, h("input", { type: "search", placeholder: "Title or id", "aria-label": "Search", oninput: (event) => { filters.q = event.target.value; search(); } }),
      h("select", { "aria-label": "State", onchange: (event) => { filters.state = event.target.value; search(); } }, STATES.map(([value, label]) => h("option", { value }, label)))),
    h("div", { class: "card table-card" }, h("table", {}, h("thead", {}, h("tr", {}, ["Video", "Category", "Rating", "State", "Views, 7 days", ""].map((label) => h("th", { scope: "col" }, label)))), body)), more);
  await load();
}
