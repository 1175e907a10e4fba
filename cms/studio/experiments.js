// Experiments: create, start and stop them, and show the report of each arm.

import { call, get, post } from "./api.js";
import { line, tokens } from "./controls.js";
import { ask, choice, doing, h, moment, notice, number, show, skeleton, text } from "./dom.js";
import { formDialog, makeForm, saveButton } from "./forms.js";
import { createNamed } from "./ids.js";
import { reportOf } from "./experiment_report.js";
import { readWeights, writeWeights } from "./weights.js";

const MOST_ARMS = 8;
const STATES = { draft: "Not started", running: "Running", stopped: "Stopped" };
const CONTROL = { name: "as now", percent: 50, modelVersion: null, weights: {} };

export async function experimentsTab(place) {
  const cards = h("ul", { class: "cards" }, h("li", {}, skeleton()));
  let models = [];

  async function reload() {
    const [{ experiments }, known] = await Promise.all([get("experiments"), get("models")]);
    ({ models } = known);
    show(cards, experiments.length ? experiments.map(card)
      : h("li", { class: "card empty" }, h("p", {}, "No experiments yet. An experiment shows some viewers another model or other weights, and compares what they watch.")));
  }

  function card(experiment) {
    const { id, status } = experiment;
    const report = h("div", { class: "report", "data-report": id, role: "region", tabindex: 0, "aria-label": `Report of ${experiment.name}`, hidden: true });
    const act = (label, action, props = {}) => h("button", { ...props, onclick: doing(action) }, label);
    const shown = async () => {
      show(report, reportOf(await get(`experiments/${id}/report`)));
      report.hidden = false;
    };
    return h("li", { class: "card", "data-experiment": id },
      h("div", { class: "rule-line" }, h("div", { class: "grow" }, h("h2", {}, experiment.name), h("p", { class: "muted" }, h("code", {}, id), ` · in ${experiment.feeds.join(", ")} · ${dates(experiment)}`)),
        h("span", { class: `chip ${{ running: "live", stopped: "over" }[status] ?? status}` }, STATES[status])),
      experiment.hypothesis && h("p", {}, experiment.hypothesis),
      h("ul", { class: "left" }, experiment.arms.map((arm) => h("li", {}, h("b", {}, `${arm.name}: ${arm.percent} %`), ` · ${shows(arm)}`)),
        experiment.outsidePercent > 0 && h("li", { class: "muted" }, `${experiment.outsidePercent} % of viewers are in no arm and get the normal feed.`)),
      report,
      h("div", { class: "actions" },
        status !== "running" && act("Delete", () => remove(experiment), { class: "quiet" }),
        status === "draft" && [act("Edit", () => edit(experiment)), act("Start", () => start(experiment), { class: "primary" })],
        status === "running" && act("Stop", () => stop(experiment), { class: "danger" }),
        status !== "draft" && act("Report", shown, { class: status === "running" ? "primary" : "" })));
  }

  async function start(experiment) {
    if (!(await ask("Start this experiment?", `“${experiment.name}” splits ${100 - experiment.outsidePercent} % of the viewers between its arms within 15 seconds. You cannot change the arms after the start.`, "Start"))) return;
    await post(`experiments/${experiment.id}/start`, undefined, { etag: experiment.etag });
    notice("Started. The first report comes with the next night.");
    await reload();
  }

  async function stop(experiment) {
    if (!(await ask("Stop this experiment?", "All viewers get the normal feed again. A stopped experiment cannot continue.", "Stop"))) return;
    await post(`experiments/${experiment.id}/stop`, undefined, { etag: experiment.etag });
    notice("Stopped. Its report includes all events until now.");
    await reload();
  }

  async function remove(experiment) {
    if (!(await ask("Delete this experiment?", `“${experiment.name}” and its report are deleted for good.`, "Delete"))) return;
    await call("DELETE", `experiments/${experiment.id}`, undefined, { etag: experiment.etag });
    await reload();
  }

  function edit(experiment) {
    const form = makeForm(experiment, {
      name: { label: "Name", kind: line({ maxlength: 100 }) },
      hypothesis: { label: "What you expect", kind: line({ maxlength: 500 }), hint: "Write it before the start, so you judge the result by it" },
      feeds: { label: "Feeds", kind: tokens(), hint: "The feeds it runs in. home is the feed that every app has", start: ["home"] },
      arms: { label: "Arms", kind: armsOf(models), start: [CONTROL, { ...CONTROL, name: "new", weights: {} }] },
    });
    const box = formDialog(experiment ? "Edit the experiment" : "New experiment", form, form.at("name", "hypothesis", "feeds", "arms"), saveButton(), async () => {
      const send = () => (experiment ? call("PUT", `experiments/${experiment.id}`, form.whole(), { etag: form.etag })
        : createNamed("experiments", form.changes(), "experiment"));
      if (!(await form.submit(send, experiment && (() => get(`experiments/${experiment.id}`))))) return;
      box.close();
      notice("Saved. Nobody sees it until you start it.");
      await reload();
    });
  }

  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Experiments"), h("p", { class: "muted" }, "Compare models or weights on parts of your viewers. One experiment runs at a time. The first arm is the control that the others are compared with.")),
    h("button", { class: "primary", onclick: () => edit(null) }, "New experiment")), cards);
  await reload();
}

const dates = ({ startedAt, stoppedAt }) => (startedAt ? `since ${moment(startedAt)}${stoppedAt ? ` until ${moment(stoppedAt)}` : ""}` : "not started");

function shows({ modelVersion, weights }) {
  const parts = [modelVersion && `model ${modelVersion}`, Object.keys(weights).length > 0 && writeWeights(weights)].filter(Boolean);
  return parts.length ? parts.join(", ") : "the normal feed";
}

/** The arms, each a line of controls. @returns {import("./controls.js").Kind} */
const armsOf = (models) => ({
  label: false,
  make: (id, changed) => {
    let arms = [];
    const rows = h("div", { class: "cards" });
    const element = h("fieldset", { id, tabindex: -1 }, h("legend", {}, "Arms"), rows, h("div", { class: "actions" },
      h("button", { type: "button", onclick: () => { if (arms.length < MOST_ARMS) arms.push({ name: `arm ${arms.length + 1}`, percent: 0, modelVersion: null, weights: "" }); draw(); changed(); } }, "Add an arm")));
    const versions = [["", "The normal model"], ...models.filter((model) => !model.global).map(({ version }) => [version, version])];
    const draw = () => show(rows, arms.map((arm, at) => {
      const set = (name) => (event) => { arm[name] = event.target.value; changed(); };
      const labelled = (label, control, key) => h("div", { class: "field" }, h("label", { for: `${id}-${at}-${key}` }, label), control(`${id}-${at}-${key}`));
      return h("div", { class: "arm", "data-arm": at }, h("div", { class: "pair" },
        labelled(at ? `Arm ${at + 1}` : "Arm 1, the control", text({ value: arm.name, maxlength: 40, oninput: set("name") }), "name"),
        labelled("Percent of viewers", number({ value: arm.percent, min: 0, max: 100, step: "any", oninput: set("percent") }), "percent"),
        labelled("Model", choice(versions, arm.modelVersion ?? "", { onchange: set("modelVersion") }), "model"),
        labelled("Weights that differ", text({ value: arm.weights, placeholder: "quality: 1, recency: 0.5", oninput: set("weights") }), "weights")),
      arms.length > 2 && h("button", { type: "button", class: "quiet", "aria-label": `Remove arm ${at + 1}`, onclick: () => { arms.splice(at, 1); draw(); changed(); } }, "Remove"));
    }));
    return { element, input: element, get: () => JSON.stringify(arms), put: (json) => { arms = JSON.parse(json); draw(); } };
  },
  show: (arms) => JSON.stringify((arms ?? []).map(({ name, percent, modelVersion, weights }) => ({ name, percent, modelVersion: modelVersion ?? "", weights: writeWeights(weights) }))),
  read: (json) => JSON.parse(json).map((arm) => ({ name: arm.name.trim(), percent: Number(arm.percent), modelVersion: arm.modelVersion || null, weights: readWeights(arm.weights) })),
  say: (json) => JSON.parse(json).map((arm) => `${arm.name} ${arm.percent} %`).join(", "),
});
