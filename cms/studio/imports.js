// Import jobs of videos and of past events, with their progress and refused rows.

import { call, get } from "./api.js";
import { doing, h, moment, notice, show, skeleton } from "./dom.js";

const TYPES = { csv: "text/csv", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", json: "application/json" };
const AGAIN_MS = 700;
const STATES = { queued: "waiting", processing: "running", done: "done", failed: "failed" };
const EVENT_FIELDS = ["user", "type", "videoId", "timestamp", "watchTimeMs", "rankPosition", "eventId", "personalization"];
const COUNTS = { overCap: "over a user's daily limit", dayFull: "on days that are full", leftOut: "left out", known: "already imported" };

const KINDS = {
  videos: { title: "Videos", what: "Imports of more than 1,000 rows in the last 30 days. To start one, choose Import on the page Videos. Smaller files are imported at once and are not listed here.",
    all: async () => (await get("imports")).imports, one: (id) => get(`imports/${id}`) },
  events: { title: "Past events", what: "Import what viewers did in the last 90 days, so the feed is personal from the first day. The list shows files of the last 91 days.",
    all: async () => (await get("history")).jobs, one: (id) => get(`history/${id}`) },
};

export async function importsTab(place) {
  const lists = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, h("ul", { class: "cards" }, h("li", {}, skeleton(2)))]));

  const reload = (kind) => KINDS[kind].all().then((jobs) => show(lists[kind], jobs.length ? jobs.map((job) => card(kind, job))
    : h("li", { class: "card empty" }, h("p", {}, "No imports yet."))));

  function card(kind, job) {
    const place2 = h("li", { class: "card", "data-job": job.id });
    draw(kind, job, place2);
    if (isOn(job)) follow(kind, job, place2).catch((error) => notice(error.message, "bad"));
    return place2;
  }

  function draw(kind, job, into) {
    show(into, h("div", { class: "rule-line" }, h("div", { class: "grow" }, h("h2", {}, `${job.rows.toLocaleString()} rows, ${moment(job.queuedAt)}`), h("p", { class: "muted" }, `By ${job.who}${job.finishedAt ? `, finished ${moment(job.finishedAt)}` : ""}`)),
      h("span", { class: `chip ${{ done: "live", failed: "rejected" }[job.state] ?? "scheduled"}` }, STATES[job.state])),
    job.failure && h("p", { class: "problem" }, `${job.failure} The rows processed before that are kept.`),
    isOn(job) && h("progress", { max: job.rows, value: job.processed, "aria-label": "Rows processed" }),
    h("p", { class: "chips" }, h("span", { class: "chip" }, `${job.processed.toLocaleString()} processed`), Object.entries(job.counts).filter(([, count]) => count).map(([name, count]) => h("span", { class: `chip ${name}` }, `${count.toLocaleString()} ${COUNTS[name] ?? name}`))),
    rows(job, "rejected", "errors"), job.noted && rows(job, "noted", "notes"));
  }

  async function follow(kind, job, into) {
    while (isOn(job)) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (!place.isConnected) return;
      job = await KINDS[kind].one(job.id);
      draw(kind, job, into);
    }
  }

  const send = doing(async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    const type = TYPES[file.name.split(".").pop().toLowerCase()] ?? "text/csv";
    const job = await call("POST", "history", file, { type }).finally(() => { event.target.value = ""; });
    notice(job.state === "done" ? "This file was imported before, so nothing was changed." : "Uploaded. The import has started; its progress is shown below.");
    await reload("events");
  });

  show(place, h("div", { class: "head" }, h("h1", {}, "Imports")), Object.entries(KINDS).map(([kind, { title, what }]) => h("section", { class: "import", "aria-label": title },
    h("div", { class: "head later" }, h("div", {}, h("h2", {}, title), h("p", { class: "muted" }, what)),
      kind === "events" && h("label", { class: "file" }, "Send a file of past events", h("input", { type: "file", accept: ".csv,.json,.ndjson,.jsonl", onchange: send }))),
    kind === "events" && h("p", { class: "hint" }, "Columns: ", EVENT_FIELDS.map((name, at) => [at ? ", " : "", h("code", {}, name)]), ". A JSON file must look like {\"events\": […]}."), lists[kind])));
  await Promise.all(Object.keys(KINDS).map(reload));
}

const isOn = (job) => !["done", "failed"].includes(job.state);

function rows(job, name, why) {
  const found = job[name];
  const more = job[`${name}NotListed`] ?? 0;
  if (!found.length) return null;
  return h("details", {}, h("summary", {}, name === "rejected" ? `Why ${found.length + more} rows were refused` : `Notes on ${found.length + more} rows`),
    h("ul", { class: "left" }, found.slice(0, 20).map((row) => h("li", {}, h("b", {}, `Row ${row.row}`), row.id ? [" ", h("code", {}, row.id)] : null, `: ${row[why].map((each) => each.message).join(" ")}`))),
    h("p", { class: "actions" }, more > 0 && h("span", { class: "muted grow" }, `${more.toLocaleString()} more rows are not listed: only the first are kept.`),
      h("a", { class: "button", download: `${name}-${job.id}.csv`, href: URL.createObjectURL(new Blob([csv(found, why)], { type: "text/csv" })) }, "Download as CSV")));
}

// A cell that a spreadsheet would take for a formula begins with an apostrophe.
const cell = (value) => `"${String(value ?? "").replace(/^[=+\-@\t]/, "'$&").replaceAll('"', '""')}"`;
const csv = (found, why) => ["row,id,field,code,message", ...found.flatMap((row) => row[why].map((each) => [row.row, row.id, each.field, each.code, each.message].map(cell).join(",")))].join("\r\n");
