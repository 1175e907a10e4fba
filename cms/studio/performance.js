// Performance of videos and categories over 7, 28 and 90 days: totals, a chart per day, and the top rows.

import { get } from "./api.js";
import { barChart } from "./chart.js";
import { doing, h, show, skeleton } from "./dom.js";
import { T } from "./texts.js";

const whole = (value, unit) => `${value.toLocaleString()} ${unit}`;
const minutes = (value) => (value < 60_000 ? `${Math.round(value / 1000)} s` : value < 7_200_000 ? `${(value / 60_000).toLocaleString([], { maximumFractionDigits: 1 })} min` : `${(value / 3_600_000).toLocaleString([], { maximumFractionDigits: 1 })} h`);
const share = (part, all) => (all ? `${(100 * part / all).toLocaleString([], { maximumFractionDigits: 1 })} %` : "–");
/** Measure: what it is called, its unit, how a value is written. @type {Record<string, [string, string, (value: number) => string]>} */
const MEASURES = {
  views: ["Views", "views", (value) => whole(value, "views")], impressions: ["Impressions", "times shown", (value) => whole(value, "shown")],
  watchTimeMs: ["Watch time", "time", minutes], completions: ["Completions", "views to the end", (value) => whole(value, "to the end")],
  likes: ["Likes", "likes", (value) => whole(value, "likes")], playbackErrors: ["Playback errors", "failed plays", (value) => whole(value, "failed")],
};

export async function performanceTab(place) {
  const asked = { days: "7", by: "video", sort: "views" };
  let only = null; // the row that everything is narrowed down to
  const content = h("div", { class: "performance-content" });
  const playing = h("section", { class: "card", id: "playing", "aria-label": "Playback problems" });
  const select = (name, label, options) => h("select", { "aria-label": label, "data-asked": name, onchange: (event) => {
    asked[name] = event.target.value;
    if (name === "by") only = null;
    load();
  } }, options.map(([value, says]) => h("option", { value, selected: value === asked[name] }, says)));
  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Performance"), h("p", { class: "muted" }, "What viewers did, day by day (UTC). Figures are up to two minutes old.")), h("div", { class: "row filters" },
    select("days", "How far back", [["7", "7 days"], ["28", "28 days"], ["90", "90 days"]]), select("by", "Rows", [["video", "By video"], ["category", "By category"]]),
    select("sort", "Measure", Object.entries(MEASURES).map(([name, [says]]) => [name, says])))), content,
  playing, h("p", { class: "hint", id: "performance-untold" }, "There are no figures by rule or by feed, because daily sums do not record why a video was shown. To measure a change, run an experiment. To see why a video was on one page, use “Served page”."));

  let turn = 0;
  async function load() {
    const mine = ++turn;
    show(content, skeleton(3));
    const days = asked.days === "7" ? 7 : 28; // the figures of playing reach no further
    get(`playback?days=${days}&limit=10`).then((answer) => mine === turn && drawPlaying(answer),
      (error) => mine === turn && show(playing, h("p", { role: "alert" }, error.message)));
    try {
      const answer = await get(`performance?${new URLSearchParams({ ...asked, limit: "50", ...(only ? { [asked.by]: only.id } : {}) })}`);
      if (mine === turn) draw(answer);
    } catch (error) {
      if (mine !== turn) return;
      show(content, h("div", { class: "card empty", role: "alert" }, h("p", {}, error.message), h("button", { onclick: load }, T.retry)));
    }
  }

  function drawPlaying({ days, total, videos }) {
    const part = (count) => (total.starts ? `${count.toLocaleString()} (${share(count, total.starts)})` : count.toLocaleString());
    show(playing, h("h2", {}, `Playback problems, ${days} days`),
      h("dl", { class: "figures" }, [["Plays started", total.starts.toLocaleString()], ["Stalled", part(total.stalls)], ["Failed", part(total.errors)]].map(([name, says]) => h("div", {}, h("dt", {}, name), h("dd", {}, says)))),
      videos.length ? h("ul", { class: "left", "aria-label": "Videos with the most problems" }, videos.map((video) => h("li", { "data-failing": video.videoId }, h("code", {}, video.videoId),
        ` ${whole(video.errors, "failed")}, ${whole(video.stalls, "stalled")} of ${whole(video.starts, "plays")}`)))
        : h("p", { class: "muted" }, "No play failed or stalled."));
  }

  function draw({ total, series, rows, rowCount, rest }) {
    const [title, unit, format] = MEASURES[asked.sort];
    const value = (row) => row[asked.sort];
    const day = (iso) => new Date(`${iso}T00:00:00Z`).toLocaleDateString([], { day: "numeric", month: "short", timeZone: "UTC" });
    const left = Object.keys(MEASURES).some((name) => rest[name] > 0);
    show(content,
      only && h("p", { class: "row" }, h("strong", {}, `Only ${only.title}`), h("button", { onclick: () => { only = null; load(); } }, "Show all")),
      h("dl", { class: "figures", id: "performance-total" }, [["Impressions", total.impressions.toLocaleString()], ["Views", total.views.toLocaleString()], ["Watch time", minutes(total.watchTimeMs)],
        ["Completion", share(total.completions, total.views)], ["Likes", total.likes.toLocaleString()], ["Playback errors", total.playbackErrors.toLocaleString()]].map(([name, says]) => h("div", {}, h("dt", {}, name), h("dd", {}, says)))),
      h("div", { class: "card" }, barChart({ title, unit, format, points: series.map((each) => ({ label: day(each.day), value: value(each) })), empty: `No ${title.toLowerCase()} in these days.` })),
      h("div", { class: "card table-card" }, rows.length ? h("table", { class: "performance-table" },
        h("thead", {}, h("tr", {}, [asked.by === "video" ? "Video" : "Category", "Impressions", "Views", "Watch time", "Completion", "Likes", "Errors"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, rows.map((row) => h("tr", { "data-row": row.id }, h("td", { class: "main-cell" }, h("button", { class: "link", title: "Show only this", onclick: doing(() => { only = row; return load(); }) }, row.title), asked.by === "video" && h("code", {}, ` ${row.id}`)),
          [["Impressions", row.impressions.toLocaleString()], ["Views", row.views.toLocaleString()], ["Watch time", minutes(row.watchTimeMs)], ["Completion", share(row.completions, row.views)], ["Likes", row.likes.toLocaleString()], ["Errors", row.playbackErrors.toLocaleString()]]
            .map(([name, says]) => h("td", { class: "figure", "data-label": name }, says))))))
        : h("p", { class: "empty" }, "No videos were shown in these days.")),
      rowCount > rows.length && h("p", { class: "hint" }, `The first ${rows.length} of ${rowCount.toLocaleString()}.`),
      left && h("p", { class: "hint" }, `The totals also include ${whole(rest.impressions, "impressions")} and ${whole(rest.views, "views")} that no row shows, of deleted videos or of videos outside a day's busiest.`));
  }
  await load();
}
