// Importing videos from a file, and what became of each row.

import { call, get } from "./api.js";
import { dialog, doing, h, show } from "./dom.js";

const TYPES = { csv: "text/csv", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", json: "application/json" };

/** Asks for a file of videos and imports it; `done` is awaited after an import. @param {() => any} done */
export function importVideos(done) {
  const report = h("div", { class: "report" });
  dialog("Import videos", h("p", { class: "muted" }, "A CSV with a header, JSON lines, or JSON. Rows are laid over what is there: a file may hold only some columns. Up to 1,000 rows answer at once; more run in the background."),
    h("input", { type: "file", accept: ".csv,.json,.ndjson,.jsonl", "aria-label": "File",
      // The same file chosen again is read again: it may have been repaired.
      onclick: (event) => { event.target.value = ""; },
      onchange: doing(async (event) => {
      const file = event.target.files[0];
      if (!file) return;
      show(report, h("p", {}, "Sending…"));
      const type = TYPES[file.name.split(".").pop().toLowerCase()] ?? "text/csv";
      const answer = await call("POST", "imports", file, { type });
      if (answer.state) await follow(answer, report);
      else drawReport(report, answer.counts, answer.rows.filter((each) => each.status === "rejected"), answer.rows.filter((each) => each.notes));
      await done();
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
