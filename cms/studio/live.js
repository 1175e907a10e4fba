// Live figures for operators, read again every few seconds while the page is visible.

import { call, get } from "./api.js";
import { h, show } from "./dom.js";

const EVERY_MS = 5000;
const PATIENCE_MS = 10_000;
const WINDOWS = [[1, "last minute"], [5, "last 5 minutes"], [15, "last 15 minutes"]];
const NONE = "–";

export async function liveTab(place) {
  let minutes = 5, timer = null, reading = 0, shown = false;
  const told = h("span", { class: "muted figure", id: "live-as-of" });
  const trouble = h("div", { class: "problem", role: "alert", hidden: true });
  const content = h("div", { class: "cards live", "data-live": true });
  const windows = h("select", { "aria-label": "How far back", onchange: (event) => { minutes = Number(event.target.value); read(); } },
    WINDOWS.map(([value, label]) => h("option", { value, selected: value === minutes }, label)));
  const scope = h("p", { class: "muted", id: "live-scope" });
  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Live"), scope), h("div", { class: "row" }, told, windows)), trouble, content);
  show(content, h("div", { class: "card empty", role: "status" }, "Loading …"));

  async function read() {
    const mine = ++reading;
    clearTimeout(timer);
    let late;
    try {
      const answer = await Promise.race([get(`live?minutes=${minutes}`),
        new Promise((_, refuse) => (late = setTimeout(() => refuse(new Error("The server has not answered for 10 seconds.")), PATIENCE_MS)))]);
      if (mine !== reading) return;
      trouble.hidden = true;
      draw(answer);
    } catch (error) {
      if (mine !== reading) return;
      if (error.status === 401 && !shown) throw error; // the shell asks for another key
      show(trouble, `${error.message} ${shown ? "The figures below are old." : ""} The page tries again every ${EVERY_MS / 1000} seconds.`);
      trouble.hidden = false;
      if (!shown) show(content);
    } finally {
      clearTimeout(late);
      if (mine === reading) later();
    }
  }

  function later() {
    clearTimeout(timer);
    if (place.isConnected && !document.hidden) timer = setTimeout(() => place.isConnected && read().catch(() => {}), EVERY_MS);
  }

  function looked() { // hidden: nothing is asked; seen again: at once
    if (!place.isConnected) document.removeEventListener("visibilitychange", looked);
    else if (document.hidden) clearTimeout(timer);
    else read().catch(() => {});
  }

  function draw(answer) {
    shown = true;
    told.textContent = new Date(answer.asOf).toLocaleTimeString();
    told.title = "When these figures were read";
    scope.textContent = `${answer.scope === "machine" ? "The whole service on this machine" : "Only the instance that answered, one of several"}. The last ${duration(answer.seconds)}.`;
    show(content, attention(answer), headline(answer),
      h("div", { class: "cards" }, reasons(answer), events(answer), queues(answer), stores(answer)),
      h("div", { class: "cards" }, stages(answer), flags(answer, switchFlag)));
  }

  async function switchFlag({ name, on, help }) {
    if (on && !confirm(`Switch ${name} off for every tenant?\n\n${help.replaceAll("`", "")}`)) return;
    try {
      await call("POST", `/front/switch?flag=${encodeURIComponent(name)}&on=${!on}`);
      await read();
      content.querySelector(`[data-flag="${name}"] button`)?.focus();
    } catch (error) {
      show(trouble, `${name} could not be switched. ${error.message}`);
      trouble.hidden = false;
    }
  }

  document.addEventListener("visibilitychange", looked);
  await read();
}

const card = (title, ...children) => h("section", { class: "card" }, h("h2", {}, title), children);
const big = (label, value, name) => h("div", { "data-figure": name }, h("dt", {}, label), h("dd", {}, value));

// What somebody should look at, or that there is nothing.
function attention(answer) {
  const found = [
    ...answer.dependencies.filter((each) => each.state !== "ready").map((each) => `${each.name}: ${each.state}`),
    ...answer.outages.map((each) => `${each.name} has failed for ${duration(each.seconds)}: ${each.reason} (${whole(each.failures)} calls, error id ${each.errorId})`),
    ...(answer.queues ?? []).filter((each) => each.deadLetters).map((each) => `${whole(each.deadLetters)} dead letters in ${each.subscription}`),
    ...(answer.queues ? [] : ["The queues cannot be read"]),
    ...(answer.events.late ? [`${whole(answer.events.late)} events were processed later than 10 s`] : []),
    ...answer.flags.filter((each) => each.name === "personalized-feed" && !each.on).map((each) => (each.on === null ? "The kill switch cannot be read, so all feeds are the popular one" : "Personalization is switched off for everybody (kill switch), so all feeds are the popular one")),
  ];
  return h("div", { class: `card attention ${found.length ? "warn" : "good"}`, id: "attention" }, h("strong", {}, found.length ? "Needs attention" : "No problems"),
    found.length > 0 && h("ul", {}, found.map((each) => h("li", {}, each))));
}

function headline({ feeds, scope }) {
  const { times } = feeds;
  return h("section", { class: "card headline", "aria-label": "Time to serve a feed" }, h("h2", {}, "Time to serve a feed"),
    feeds.count === 0 && h("p", { class: "muted" }, `No feed was served in this time${scope === "machine" ? "" : " by this instance"}.`),
    h("dl", { class: "big" }, big("p95", took(times.p95, times), "p95"), big("p50", took(times.p50, times), "p50"), big("p99", took(times.p99, times), "p99"),
      big("Feeds a second", feeds.perSecond.toLocaleString(), "rate"), big("Feeds", whole(feeds.count), "feeds"), big("Empty feeds", whole(feeds.empty), "empty")));
}

function reasons({ feeds }) {
  return card("Feeds by mode and reason", feeds.reasons.length ? table(["Mode and reason", "Feeds", "Share"], feeds.reasons.map((each) => [
    each.reason ? `${each.mode}: ${each.reason}` : each.mode, whole(each.count), `${(100 * each.count / feeds.count).toFixed(1)} %`])) : nothing("None."));
}

function stages({ stages: all }) {
  return card("Stages of a feed", h("p", { class: "muted" }, "Measured on every eighth feed."), all.length ? table(["Stage and mode", "p50", "p95", "p99"], all.map((each) => [
    `${each.stage.replaceAll("_", " ")}, ${each.mode}`, took(each.p50, each), took(each.p95, each), took(each.p99, each)])) : nothing("None was measured yet."));
}

function events({ events: all, answers }) {
  const lag = (name, times) => [name, whole(times.count), took(times.p50, times), took(times.p95, times), took(times.p99, times)];
  return card("Events", h("dl", { class: "big" }, big("Accepted", whole(all.accepted), "accepted"), big("Refused", whole(all.rejected), "rejected"), big("Processed", whole(all.folded), "folded"), big("Later than 10 s", whole(all.late), "late")),
    table(["", "Batches", "p50", "p95", "p99"], [lag("Time to accept", all.times), lag("Until it is in user signals", all.foldLag), lag("Until it is in statistics", all.statisticsLag)]),
    h("p", { class: "muted" }, "Responses by status: ", answers.length ? answers.map((each) => `${each.status} ${whole(each.count)}`).join(", ") : "none", "."));
}

function queues({ queues: all }) {
  return card("Queues", all ? table(["Subscription", "Messages", "Oldest message", "Dead letters"], all.map((each) => [each.subscription, whole(each.messages),
    each.oldestSeconds === null ? NONE : duration(each.oldestSeconds), each.deadLetters ? h("span", { class: "chip taken_down" }, whole(each.deadLetters)) : "0"])) : nothing("The bus does not answer."));
}

function stores({ dependencies, held }) {
  return card("Dependencies", h("ul", { class: "chips" }, dependencies.map((each) => h("li", { class: `chip ${each.state === "ready" ? "live" : "taken_down"}`, "data-dependency": each.name }, `${each.name}: ${each.state}`))),
    table(["Held in memory", "Age"], held.map((each) => [{ content: "catalogs" }[each.source] ?? each.source, each.seconds === null ? "never read" : duration(each.seconds)])));
}

// On one machine the flags lie in a file, and the page switches them; elsewhere it says how they are switched.
function flags({ flags: all, flagsIn }, switchFlag) {
  const here = flagsIn === "file";
  return card("Flags", h("p", { class: "muted" }, here ? "A switch applies to all tenants and takes effect at once. It is stored in the flags file." : ["Switched in App Configuration, by the workflow Switch or with ", h("code", {}, "make switch FLAG=… TO=on|off"), "."]),
    h("ul", { class: "flags" }, all.map((each) => h("li", { "data-flag": each.name }, h("span", { class: `chip ${each.on ? "live" : "off"}` }, each.on === null ? "unknown" : each.on ? "on" : "off"),
      h("div", {}, h("code", {}, each.name), h("p", { class: "hint" }, each.help.replaceAll("`", ""))),
      here && h("button", { type: "button", "aria-label": `Switch ${each.on ? "off" : "on"} ${each.name}`, onclick: () => switchFlag(each) }, each.on ? "Switch off" : "Switch on")))));
}

function table(heads, rows) {
  return h("table", { class: "figures-table" }, h("thead", {}, h("tr", {}, heads.map((name) => (name ? h("th", { scope: "col" }, name) : h("td", {}))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) => (at ? h("td", { class: "figure" }, cell) : h("th", { scope: "row" }, cell)))))));
}

const nothing = (text) => h("p", { class: "muted" }, text);
const whole = (number) => number.toLocaleString();

// Milliseconds in the unit that suits them; the highest edge of the buckets means as much or more.
function took(value, { top }) {
  if (value === null) return NONE;
  return `${value >= top ? "≥ " : ""}${value < 1000 ? `${value < 10 ? value.toFixed(value < 1 ? 2 : 1) : Math.round(value)} ms` : duration(value / 1000)}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 360) / 10} h` : `${Math.round(seconds / 86_400)} days`;
}
