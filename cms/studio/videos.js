// The video table: find, edit, take down, restore, import.

import { call, get, post } from "./api.js";
import { area, ask, choice, clock, debounce, dialog, doing, field, h, hue, list, localTime, moment, notice, number, show, text, utc, when } from "./dom.js";

const RATINGS = ["G", "PG", "PG13", "R", "NC17"].map((rating) => [rating, rating]);
const STATES = [["", "All states"], ["live", "Live"], ["scheduled", "Scheduled"], ["expired", "Expired"], ["inactive", "Inactive"], ["taken_down", "Taken down"]];
const TYPES = { csv: "text/csv", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", json: "application/json" };

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

export async function videosTab(place) {
  const filters = { q: "", state: "" };
  const body = h("tbody", {});
  const more = h("div", { class: "actions center" });

  let turn = 0; // only the newest answer is shown, whichever comes last
  let loading = 0;

  async function load(cursor = null) {
    const mine = ++turn;
    const asked = new URLSearchParams({ limit: 30, ...Object.fromEntries(Object.entries(filters).filter(([, value]) => value)), ...(cursor ? { cursor } : {}) });
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
        h("button", { class: "link", onclick: () => edit(video) }, video.title), h("code", {}, video.id))),
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

  function edit(video) {
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
          await load();
        }) }, "Save")));
  }

  function upload() {
    const report = h("div", { class: "report" });
    dialog("Import videos", h("p", { class: "muted" }, "A CSV with a header, JSON lines, or JSON. Rows are laid over what is there: a file may hold only some columns. Up to 1,000 rows answer at once; more run in the background."),
      h("input", { type: "file", accept: ".csv,.json,.ndjson,.jsonl", "aria-label": "File", onchange: doing(async (event) => {
        const file = event.target.files[0];
        if (!file) return;
        show(report, h("p", {}, "Sending…"));
        const type = TYPES[file.name.split(".").pop().toLowerCase()] ?? "text/csv";
        const answer = await call("POST", "imports", file, { type });
        if (answer.state) await follow(answer, report);
        else drawReport(report, answer.counts, answer.rows.filter((each) => each.status === "rejected"), answer.rows.filter((each) => each.notes));
        await load();
      }) }), report);
  }

  async function follow(job, report) {
    while (!["done", "failed"].includes(job.state) && report.isConnected) {
      show(report, h("p", {}, `${job.state}: ${job.processed.toLocaleString()} of ${job.rows.toLocaleString()} rows`), h("progress", { max: job.rows, value: job.processed }));
      await new Promise((resolve) => setTimeout(resolve, 700));
      job = await get(`imports/${job.id}`);
    }
    drawReport(report, job.counts, job.rejected, job.noted);
    if (job.failure) report.prepend(h("p", { class: "problem", role: "alert" }, job.failure));
  }

  function drawReport(report, counts, rejected, noted) {
    show(report, h("p", { class: "chips" }, Object.entries(counts).filter(([, count]) => count).map(([name, count]) => h("span", { class: `chip ${name}` }, `${count.toLocaleString()} ${name}`))),
      [[rejected, "errors"], [noted, "notes"]].map(([rows, why]) => rows.length ? h("ul", { class: "left" }, rows.slice(0, 50).map((each) => h("li", {}, h("b", {}, `Row ${each.row}: `), each[why].map((one) => one.message).join(" ")))) : null));
  }

  const search = debounce(200, () => load().catch((error) => notice(error.message, "bad")));
  show(place, h("div", { class: "head" }, h("h1", {}, "Videos"), h("div", { class: "row" }, h("button", { onclick: upload }, "Import"), h("button", { class: "primary", onclick: () => edit(null) }, "New video"))),
    h("div", { class: "row filters" }, h("input", { type: "search", placeholder: "Title or id", "aria-label": "Search", oninput: (event) => { filters.q = event.target.value; search(); } }),
      h("select", { "aria-label": "State", onchange: (event) => { filters.state = event.target.value; search(); } }, STATES.map(([value, label]) => h("option", { value }, label)))),
    h("div", { class: "card table-card" }, h("table", {}, h("thead", {}, h("tr", {}, ["Video", "Category", "Rating", "State", "Views, 7 days", ""].map((label) => h("th", { scope: "col" }, label)))), body)), more);
  await load();
}
