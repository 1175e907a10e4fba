// The video table: find, sort, select, edit, take down, restore, import, export.

import { get, post } from "./api.js";
import { ask, debounce, doing, h, moment, notice, show } from "./dom.js";
import { importVideos } from "./import_form.js";
import { playVideo, thumb, whyNoPictures } from "./media.js";
import { combobox } from "./pickers.js";
import { categories, creators, tags } from "./sources.js";
import { RATINGS } from "./texts.js";
import { bulkBar } from "./video_bulk.js";
import { exportVideos } from "./video_csv.js";
import { editVideo } from "./video_form.js";

const STATES = [["", "All states"], ["live", "Live"], ["scheduled", "Scheduled"], ["expired", "Expired"], ["inactive", "Inactive"], ["taken_down", "Taken down"], ["unrated", "Without a rating"]];
const ORDERS = [["", "Best match first"], ["publishedAt desc", "Newest first"], ["publishedAt asc", "Oldest first"], ["updatedAt desc", "Last changed first"], ["title asc", "Title A to Z"], ["title desc", "Title Z to A"],
  ["views desc", "Most viewed first"], ["views asc", "Least viewed first"], ["category asc", "Category A to Z"], ["category desc", "Category Z to A"], ["rating asc", "Mildest rating first"], ["rating desc", "Strongest rating first"],
  ["state asc", "State A to Z"], ["state desc", "State Z to A"], ["durationSeconds desc", "Longest first"], ["durationSeconds asc", "Shortest first"], ["id asc", "By id"]];
const COLUMNS = [["title", "Video"], ["category", "Category"], ["rating", "Rating"], ["publishedAt", "Published"], ["state", "State"], ["views", "Views, 7 days"]];
const PAGE = 30, LONG_PAGE = 200;
const MOST_SELECTED = 1000;

export async function videosTab(place) {
  /** @type {Record<string, string>} */
  const filters = { q: "", state: "", rating: "", category: "", tag: "", creator: "", publishedFrom: "", publishedTo: "" };
  let order = "";
  const selected = new Map(); // id → the video as it was read
  const body = h("tbody", {});
  const more = h("div", { class: "actions center" });
  const count = h("p", { class: "muted", id: "video-count", role: "status" });
  const pictures = h("div", {});
  const all = h("input", { type: "checkbox", "aria-label": "Select every video shown", disabled: true, onchange: () => selectAll(all.checked) });
  const others = h("div", { class: "row" });
  const bar = bulkBar(selected, { changed: () => drawSelection(), done: () => load() });

  let turn = 0; // only the newest answer is shown, whichever comes last
  let loading = 0, shown = [], total = 0;

  /** What the list is asked for, with its order; best matches first unless another order was chosen. */
  function asked() {
    const [sort, direction] = order.split(" ");
    const chosen = sort ? { sort, direction } : filters.q ? { sort: "relevance" } : {};
    return { ...Object.fromEntries(Object.entries(filters).filter(([, value]) => value.trim())), ...chosen };
  }

  async function load(cursor = null) {
    const mine = ++turn;
    loading += 1;
    const answer = await get(`videos?${new URLSearchParams({ limit: String(PAGE), ...asked(), ...(cursor ? { cursor } : {}) })}`).finally(() => { loading -= 1; });
    if (mine !== turn) return;
    if (!cursor) { show(body); shown = []; }
    shown.push(...answer.videos);
    total = answer.total;
    for (const video of answer.videos) if (selected.has(video.id)) selected.set(video.id, video);
    body.append(...answer.videos.map(row));
    if (!shown.length) body.append(h("tr", {}, h("td", { colspan: 8, class: "empty" }, "No videos match. Change or clear the filters.")));
    count.textContent = answer.total === 1 ? "1 video" : `${answer.total.toLocaleString()} videos${shown.length < answer.total ? `, ${shown.length.toLocaleString()} shown` : ""}`;
    show(more, answer.nextCursor && h("button", { onclick: doing(() => load(answer.nextCursor)) }, "More"));
    show(pictures, whyNoPictures(shown));
    drawSelection();
  }

  function row(video) {
    const down = video.state === "taken_down";
    return h("tr", { "data-video": video.id, class: video.state },
      h("td", { class: "select-cell" }, h("input", { type: "checkbox", "aria-label": `Select ${video.title}`, checked: selected.has(video.id), onchange: (event) => { select(video, event.target.checked); drawSelection(); } })),
      h("td", { class: "main-cell" }, h("div", {}, h("button", { class: "thumb-button", "aria-label": `Play ${video.title}`, onclick: playVideo(video.id) }, thumb(video, "small")),
        h("button", { class: "link", onclick: () => editVideo(video, load) }, video.title), h("code", {}, video.id))),
      h("td", { "data-label": "Category" }, video.mainTag), h("td", { "data-label": "Rating" }, video.maturityRating),
      h("td", { "data-label": "Published", title: moment(video.publishedAt) }, video.publishedAt.slice(0, 10)),
      h("td", { "data-label": "State" }, h("span", { class: `chip ${video.state}` }, video.state.replace("_", " "))),
      h("td", { class: "figure", "data-label": "Views, 7 days" }, video.last7d ? video.last7d.views.toLocaleString() : "–"),
      h("td", { class: "row-actions" }, h("button", { class: down ? "" : "danger quiet", onclick: doing(() => change(video, down)) }, down ? "Restore" : "Take down")));
  }

  function select(video, on) {
    if (on) selected.set(video.id, video);
    else selected.delete(video.id);
  }

  function selectAll(on) {
    for (const video of shown) select(video, on);
    drawSelection();
  }

  function drawSelection() {
    for (const line of body.querySelectorAll("tr[data-video]")) line.querySelector("input").checked = selected.has(line.dataset.video);
    const here = shown.filter((video) => selected.has(video.id)).length;
    all.disabled = !shown.length;
    all.checked = here > 0 && here === shown.length;
    all.indeterminate = here > 0 && here < shown.length;
    const wanted = Math.min(total, MOST_SELECTED);
    show(others, all.checked && selected.size < wanted && h("button", { class: "link", onclick: doing(selectMatching) },
      total > MOST_SELECTED ? `Select the first ${wanted.toLocaleString()} of ${total.toLocaleString()} that match` : `Select all ${wanted.toLocaleString()} that match`));
    bar.draw();
  }

  /** Selects what the list would show further down, too. */
  async function selectMatching() {
    const wanted = asked(), mine = turn;
    let cursor = null;
    do {
      const page = await get(`videos?${new URLSearchParams({ limit: String(LONG_PAGE), ...wanted, ...(cursor ? { cursor } : {}) })}`);
      if (mine !== turn) return; // the list asks for something else by now
      for (const video of page.videos) if (selected.size < MOST_SELECTED) select(video, true);
      cursor = page.nextCursor;
    } while (cursor && selected.size < MOST_SELECTED);
    drawSelection();
  }

  async function change(video, down) {
    if (!down && !(await ask("Take this video down?", `“${video.title}” leaves all feeds within 15 seconds, also for viewers who are scrolling now.`, "Take down"))) return;
    const after = await post(`videos/${encodeURIComponent(video.id)}/${down ? "restore" : "takedown"}`);
    notice(!down ? "Taken down." : after.status === "active" ? "Restored. Viewers can see it again." : "Restored. It is still inactive, as before.");
    if (loading) await load();
    else body.querySelector(`[data-video="${CSS.escape(video.id)}"]`)?.replaceWith(row(after));
  }

  function sortBy(name) {
    const first = name === "publishedAt" || name === "views" ? "desc" : "asc";
    const [sort, direction] = order.split(" ");
    order = sort === name && direction === first ? `${name} ${first === "asc" ? "desc" : "asc"}` : `${name} ${first}`;
    drawOrder();
    search();
  }

  function drawOrder() {
    orders.value = order;
    const [sort, direction] = order.split(" ");
    for (const head of heads) {
      if (head.dataset.sort === sort) head.setAttribute("aria-sort", direction === "asc" ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  const search = debounce(200, () => load().catch((error) => notice(error.message, "bad")));
  const changes = (name) => (event) => { filters[name] = event.target.value; drawClear(); search(); };
  const typed = (name, label, type = "text") => h("label", { class: "filter" }, h("span", {}, label), h("input", { type, autocomplete: "off", "aria-label": `Only ${label.toLowerCase()}`, "data-filter": name, oninput: changes(name) }));
  const picked = (name, label, source) => {
    const box = typed(name, label), input = box.querySelector("input");
    combobox(input, source, (value) => { input.value = value; changes(name)({ target: input }); }, box);
    return box;
  };
  const chosen = (name, label, options) => h("select", { "aria-label": label, "data-filter": name, onchange: changes(name) }, options.map(([value, says]) => h("option", { value }, says)));
  const orders = h("select", { "aria-label": "Order", onchange: () => { order = orders.value; drawOrder(); search(); } }, ORDERS.map(([value, says]) => h("option", { value }, says)));
  const heads = COLUMNS.map(([sort, label]) => h("th", { scope: "col", "data-sort": sort }, h("button", { class: "sort", onclick: () => sortBy(sort) }, label)));
  const clear = h("button", { class: "quiet", hidden: true, onclick: () => {
    for (const name of Object.keys(filters)) filters[name] = "";
    for (const input of place.querySelectorAll("[data-filter]")) input.value = "";
    drawClear();
    search();
  } }, "Clear filters");
  const drawClear = () => { clear.hidden = !Object.values(filters).some(Boolean); };

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Videos"), count), h("div", { class: "row" },
    h("button", { onclick: doing(() => exportVideos(asked())) }, "Export CSV"), h("button", { onclick: () => importVideos(load) }, "Import"), h("button", { class: "primary", onclick: () => editVideo(null, load) }, "New video"))),
  h("div", { class: "row filters" }, h("input", { type: "search", placeholder: "Search title, id, tags, creator, category", "aria-label": "Search", maxlength: 200, "data-filter": "q", oninput: changes("q") }),
    chosen("state", "State", STATES), chosen("rating", "Only rating", [["", "All ratings"], ...RATINGS]), orders),
  h("details", { class: "more-filters" }, h("summary", {}, "More filters"), h("div", { class: "row filters" },
    picked("category", "Category", categories), picked("tag", "Tag", tags), picked("creator", "Creator", creators), typed("publishedFrom", "Published from", "date"), typed("publishedTo", "Published to", "date"))),
  clear, bar.element, others, pictures,
  h("div", { class: "card table-card" }, h("table", { class: "videos-table" }, h("thead", {}, h("tr", {}, h("td", { class: "select-cell" }, all), heads, h("td", {}))), body)), more);
  await load();
}
