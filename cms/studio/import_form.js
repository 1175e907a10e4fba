// Import of videos from a file: template, column mapping, first rows, and the result of each row.

import { call, get } from "./api.js";
import { dialog, doing, h, show } from "./dom.js";
import { COLUMNS, PASSED_OVER, REQUIRED, columnOf, readTable, renamed, template } from "./import_table.js";

const TYPES = { csv: "text/csv", tsv: "text/csv", txt: "text/csv", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", json: "application/json" };
const FIRST_ROWS = 5;
const AGAIN_MS = 700;

/** Asks for a file of videos and imports it; `done` is awaited after an import. @param {() => any} done */
export function importVideos(done) {
  const plan = h("div", { class: "import-plan" });
  const report = h("div", { class: "report", role: "status" });
  const sample = URL.createObjectURL(new Blob([template()], { type: "text/csv" }));
  const box = dialog("Import videos", h("p", { class: "muted" }, "Choose a CSV file with column names in the first line, a JSON Lines file or a JSON file. A row changes only the columns that the file has, so it can have just some of them. Up to 1,000 rows are imported at once; larger files run in the background."),
    h("p", {}, h("a", { href: sample, download: "videos.csv" }, "Download a template"), " with all columns and an example row."),
    h("input", { type: "file", accept: ".csv,.tsv,.txt,.json,.ndjson,.jsonl", "aria-label": "File",
      // The same file chosen again is read again: it may have been repaired.
      onclick: (event) => { event.target.value = ""; },
      onchange: doing(async (event) => { if (event.target.files[0]) await chosen(event.target.files[0]); }) }), plan, report);
  box.addEventListener("close", () => URL.revokeObjectURL(sample));

  async function chosen(file) {
    const type = TYPES[file.name.split(".").pop().toLowerCase()] ?? "text/csv";
    show(report);
    show(plan);
    const table = type === "text/csv" ? readTable(await file.arrayBuffer()) : null;
    const meant = table?.header.cells.map(columnOf) ?? [];
    // Headings that the service knows need no question: such a file is sent as it is.
    if (!table || (meant.every(({ known }) => known) && table.rows.length <= FIRST_ROWS)) await send(file, type);
    else ask(file, table, meant);
  }

  function ask(file, table, meant) {
    const names = meant.map(({ name }) => name);
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const go = h("button", { class: "primary", type: "button", onclick: doing(async () => {
      show(plan);
      await send(meant.every(({ known }, at) => known && names[at] === meant[at].name) ? file : new Blob([renamed(table, names)]), "text/csv");
    }) }, `Import ${table.rows.length.toLocaleString()} ${table.rows.length === 1 ? "row" : "rows"}`);
    const look = () => {
      const twice = names.find((name, at) => name && names.indexOf(name) < at);
      const wrong = !table.closed ? "A quotation mark is not closed, so the rows after it cannot be read. Close it, then choose the file again."
        : !names.includes("id") ? "Choose which column has the id." : twice ? `Two columns are ${twice}. Leave one of them out.` : "";
      problem.textContent = wrong;
      problem.hidden = !wrong;
      go.disabled = Boolean(wrong);
      const missing = REQUIRED.filter((name) => !names.includes(name));
      note.textContent = missing.length ? `Missing columns: ${missing.join(", ")}. The file can change existing videos, but cannot create new ones.` : "";
    };
    const note = h("p", { class: "hint" });
    const means = (at) => h("select", { "aria-label": `${table.header.cells[at]} means`, onchange: (event) => { names[at] = event.target.value; look(); } },
      [["", "Leave out"], ...[...COLUMNS, ...PASSED_OVER].map((name) => [name, name])].map(([value, label]) => h("option", { value, selected: value === names[at] }, label)));
    show(plan, h("h3", {}, file.name), problem,
      h("div", { class: "preview-table", tabindex: 0, role: "region", "aria-label": "First rows" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Row"), table.header.cells.map((cell, at) => h("th", { scope: "col" }, h("span", {}, cell || "(no heading)"), means(at))))),
        h("tbody", {}, table.rows.slice(0, FIRST_ROWS).map(({ row, cells }) => h("tr", { "data-row": row }, h("th", { scope: "row" }, row), table.header.cells.map((_, at) => h("td", {}, cells[at] ?? ""))))))),
      table.rows.length > FIRST_ROWS && h("p", { class: "hint" }, `The first ${FIRST_ROWS} of ${table.rows.length.toLocaleString()} rows, numbered as in the file.`), note,
      h("div", { class: "actions" }, go));
    look();
  }

  async function send(file, type) {
    show(report, h("p", {}, "Uploading …"));
    try {
      const answer = await call("POST", "imports", file, { type });
      if (answer.state) await follow(answer, report);
      else drawReport(report, answer.counts, answer.rows.filter((each) => each.status === "rejected"), answer.rows.filter((each) => each.notes));
    } catch (error) {
      show(report, h("p", { class: "problem", role: "alert" }, error.message));
      return;
    }
    await done();
  }
}

async function follow(job, report) {
  while (!["done", "failed"].includes(job.state) && report.isConnected) {
    show(report, h("p", {}, `${job.state}: ${job.processed.toLocaleString()} of ${job.rows.toLocaleString()} rows`), h("progress", { max: job.rows, value: job.processed }));
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    job = await get(`imports/${job.id}`);
  }
  drawReport(report, job.counts, job.rejected, job.noted);
  if (job.failure) report.prepend(h("p", { class: "problem", role: "alert" }, job.failure));
}

function drawReport(report, counts, rejected, noted) {
  show(report, h("p", { class: "chips" }, Object.entries(counts).filter(([, count]) => count).map(([name, count]) => h("span", { class: `chip ${name}` }, `${count.toLocaleString()} ${name}`))),
    [[rejected, "errors"], [noted, "notes"]].map(([rows, why]) => rows.length ? h("ul", { class: "left" }, rows.slice(0, 50).map((each) => h("li", {}, h("b", {}, `Row ${each.row}: `), each[why].map((one) => one.message).join(" ")))) : null));
}
