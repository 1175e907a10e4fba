// Report of an experiment: each measure of each arm against the control, with its confidence interval.

import { h, moment } from "./dom.js";

const percent = (share) => `${share > 0 ? "+" : share < 0 ? "−" : "±"}${(100 * Math.abs(share)).toFixed(1)} %`;
const amount = (value) => (value === null ? "–" : value >= 100 ? value.toFixed(0) : value.toFixed(value >= 1 ? 2 : 4));
const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** The report of an experiment as it was answered. @param {any} answer @returns {any[]} */
export function reportOf({ experiment, report, daysLeft }) {
  if (!report) return [h("p", { class: "muted", role: "status" }, "No report yet. The first one comes with the next night.")];
  return [
    h("p", { role: "status", class: daysLeft === 0 || experiment.status === "stopped" ? "" : "answer", "data-days-left": daysLeft ?? "" }, enough(experiment, report, daysLeft)),
    report.sampleRatio.ok ? null : h("p", { class: "problem", role: "alert" }, "The viewers are not split between the arms as configured. Something is broken: do not trust these figures."),
    h("h3", {}, "Viewers"), viewersTable(report),
    Object.keys(report.arms[0].measures).map((name) => measureTable(report, name)),
    h("p", { class: "hint" }, `From ${report.events.toLocaleString()} events, calculated ${moment(new Date(report.at * 1000).toISOString())}.`,
      report.usersInTwoArms ? ` ${report.usersInTwoArms.toLocaleString()} viewers were in two arms and are left out.` : "",
      report.sampleOfUsers < 1 ? ` From a sample of ${(100 * report.sampleOfUsers).toFixed(1)} % of the viewers.` : "",
      " An interval contains the true difference in 95 of 100 cases. A difference is clear if its interval does not contain 0."),
  ];
}

function enough({ status }, report, daysLeft) {
  const clear = report.arms.slice(1).filter((arm) => arm.measures.watchSeconds.clear);
  if (status === "stopped") return clear.length ? `${names(clear)} made a clear difference in time watched.` : "The experiment was stopped before it showed a clear difference in time watched.";
  if (daysLeft === null) return "Not enough data yet to say how long it will take.";
  if (daysLeft > 365) return "Not enough data yet: it takes more than a year at this rate. Give the arms more viewers.";
  if (daysLeft > 0) return `Not enough data yet: about ${daysLeft} ${daysLeft === 1 ? "day" : "days"} more to detect a difference of 5 % in time watched.`;
  return clear.length ? `Enough data: ${names(clear)} made a clear difference in time watched.` : "Enough data: no difference of 5 % in time watched.";
}

const names = (arms) => arms.map((arm) => arm.name).join(" and ");

const heads = (labels) => h("thead", {}, h("tr", {}, labels.map((label) => h("th", { scope: "col" }, label))));

function viewersTable({ arms }) {
  return h("table", { class: "figures-table" }, heads(["Arm", "Share", "Viewers", "Videos shown"]), h("tbody", {}, arms.map((arm) => h("tr", {},
    h("th", { scope: "row" }, arm.name), h("td", {}, `${arm.percent} %`), h("td", {}, arm.users.toLocaleString()), h("td", {}, arm.shown.toLocaleString())))));
}

// Each arm's interval as a bar on one axis with 0 in the middle; the same stands beside it in figures.
function measureTable({ arms }, name) {
  const farthest = Math.max(0.02, ...arms.flatMap((arm) => (arm.measures[name].interval ?? []).map((edge) => Math.min(1, Math.abs(edge)))));
  const at = (share) => `${50 + (50 * Math.max(-farthest, Math.min(farthest, share))) / farthest}%`;
  const bar = ({ lift, interval, clear }) => h("div", { class: `interval ${clear ? (lift > 0 ? "plus" : "minus") : ""}`, "aria-hidden": "true",
    vars: { "--from": at(interval[0]), "--to": at(interval[1]), "--at": at(lift) } });
  return [h("h3", {}, capital(arms[0].measures[name].meaning)), h("table", { class: "figures-table measure", "data-measure": name },
    heads(["Arm", "Value", "Against the control", `−${(100 * farthest).toFixed(0)} % to +${(100 * farthest).toFixed(0)} %`]),
    h("tbody", {}, arms.map((arm, number) => {
      const measure = arm.measures[name];
      return h("tr", {}, h("th", { scope: "row" }, arm.name), h("td", {}, amount(measure.value)),
        h("td", {}, number === 0 ? "the control" : measure.interval ? h("span", {}, h("b", {}, percent(measure.lift)), ` (${percent(measure.interval[0])} to ${percent(measure.interval[1])}${measure.clear ? ", clear" : ""})`) : "not enough data"),
        h("td", { class: "interval-cell" }, measure.interval ? bar(measure) : null));
    })))];
}
