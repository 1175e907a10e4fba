// Model versions: the live one, a comparison of two, and upload, promotion, rollback and deletion.

import { call, get, post } from "./api.js";
import { area, ask, choice, dialog, doing, field, h, moment, notice, show, skeleton } from "./dom.js";
import { NAMES } from "./preview.js";

const SHIPPED = "global"; // names the shipped model where a version is expected
const EXAMPLE = '{"type": "linear", "version": "2026-11-a", "weights": {"quality": 1, "recency": 0.5}}';

export async function modelsTab(place) {
  const list = h("div", { class: "card table-card" }, skeleton());
  const comparison = h("div", {});
  let chosen = null; // the two versions that are compared

  async function reload() {
    const { models, history } = await get("models");
    show(list, h("table", {}, h("thead", {}, h("tr", {}, ["Version", "Uploaded", "State", ""].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, models.map(row))));
    back.disabled = history.length === 0;
    back.title = history.length ? `Serve ${history[0] ?? "the shipped model"} again` : "There is no earlier version to go back to";
    if (!chosen?.every((version) => models.some((model) => model.version === version)))
      chosen = [models[0].version, (models.find((model) => model.live && !model.global) ?? models.at(-1)).version];
    drawComparison(models);
  }

  function row(model) {
    const path = encodeURIComponent(model.global ? SHIPPED : model.version);
    return h("tr", { "data-model": model.version }, h("td", { class: "main-cell" }, h("b", {}, model.version), model.global && h("span", { class: "muted" }, " shipped with the app")),
      h("td", { "data-label": "Uploaded" }, model.uploadedAt ? `${moment(model.uploadedAt)}${model.uploadedBy ? ` by ${model.uploadedBy}` : ""}` : "–"),
      h("td", { "data-label": "State" }, model.live ? h("span", { class: "chip live" }, "live") : h("span", { class: "chip inactive" }, "stored")),
      h("td", { class: "row-actions" }, model.live ? null : [h("button", { onclick: doing(() => promote(model, path)) }, "Promote"),
        !model.global && h("button", { class: "danger quiet", onclick: doing(() => remove(model, path)) }, "Delete")]));
  }

  async function promote(model, path) {
    if (!(await ask("Promote this version?", `${model.version} will rank all personal pages. You can roll back.`, "Promote"))) return;
    await post(`models/${path}/promote`);
    notice("Promoted. All feeds change within 15 seconds.");
    await reload();
  }

  async function remove(model, path) {
    if (!(await ask("Delete this version?", `${model.version} is deleted for good, and you can no longer roll back to it. Its name cannot be used again.`, "Delete"))) return;
    await call("DELETE", `models/${path}`, undefined, { etag: model.etag });
    await reload();
  }

  const back = h("button", { disabled: true, onclick: doing(async () => {
    if (!(await ask("Roll back?", "The version that was live before will rank all personal pages again.", "Roll back"))) return;
    await post("models/rollback");
    notice("Rolled back. All feeds change within 15 seconds.");
    await reload();
  }) }, "Roll back");

  function upload() {
    let written;
    const faults = h("div", { class: "problem", role: "alert", hidden: true });
    const box = dialog("New version", h("form", { onsubmit: doing(async (event) => {
      event.preventDefault();
      faults.hidden = true;
      try {
        await post("models", JSON.parse(written.value));
      } catch (error) {
        show(faults, error instanceof SyntaxError ? "This is not valid JSON. Compare it with the example." : error.message);
        faults.hidden = false;
        return;
      }
      box.close();
      notice("Saved. It is not used until you promote it.");
      await reload();
    }) }, faults, field("File", (id) => h("input", { id, type: "file", accept: ".json", onchange: doing(async (event) => { written.value = await event.target.files[0].text(); }) }), "A file written by python -m ranking. Or write the model below"),
    field("Model as JSON", (id) => (written = area({ rows: 10, spellcheck: "false", placeholder: EXAMPLE })(id)), "A version can never change. Use another name for other weights."),
    h("div", { class: "actions" }, h("button", { class: "primary", type: "submit" }, "Save"))));
  }

  function drawComparison(models) {
    const weights = (at) => models.find((model) => model.version === chosen[at])?.weights ?? {};
    const options = models.map(({ version }) => [version, version]);
    const picked = (at) => (event) => { chosen[at] = event.target.value; drawComparison(models); comparison.querySelectorAll("select")[at].focus(); };
    const names = [...new Set([...Object.keys(weights(0)), ...Object.keys(weights(1))])];
    const rows = names.map((name) => [name, weights(0)[name] ?? 0, weights(1)[name] ?? 0]).sort((one, other) => Math.abs(other[2] - other[1]) - Math.abs(one[2] - one[1]));
    const most = Math.max(0.001, ...rows.map(([, one, other]) => Math.abs(other - one)));
    show(comparison, h("div", { class: "card" }, h("h2", {}, "Compare the weights of two versions"),
      h("div", { class: "pair" }, field("First version", choice(options, chosen[0], { onchange: picked(0) })), field("Second version", choice(options, chosen[1], { onchange: picked(1) }))),
      chosen[0] === chosen[1] ? h("p", { class: "muted" }, "Choose two different versions.") : h("table", { class: "figures-table", id: "comparison" },
        h("thead", {}, h("tr", {}, ["Feature", chosen[0], chosen[1], "Difference"].map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, rows.map(([name, one, other]) => h("tr", { "data-feature": name }, h("th", { scope: "row" }, NAMES[name] ?? name.replaceAll("_", " ")), h("td", {}, one.toFixed(3)), h("td", {}, other.toFixed(3)),
          h("td", {}, h("div", { class: `difference ${other < one ? "minus" : "plus"}`, vars: { "--size": `${(50 * Math.abs(other - one)) / most}%` } }, h("span", {}, one === other ? "same" : `${other > one ? "+" : "−"}${Math.abs(other - one).toFixed(3)}`)))))))));
  }

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Models"), h("p", { class: "muted" }, "A model version is a set of weights that ranks personal pages. The page Learning shows what each night measured.")),
    h("div", { class: "row" }, back, h("button", { class: "primary", onclick: upload }, "New version"))), list, comparison);
  await reload();
}
