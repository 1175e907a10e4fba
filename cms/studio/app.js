// App shell: header with the state of personalization, the tabs, and the loading and error states of a tab.

import { call, forget, get, session, whenExpired } from "./api.js";
import { doing, h, notice, show, skeleton } from "./dom.js";
import { mayLeave } from "./forms.js";
import { experimentsTab } from "./experiments.js";
import { feedsTab } from "./feeds.js";
import { historyTab } from "./history.js";
import { importsTab } from "./imports.js";
import { keysTab } from "./keys.js";
import { learningTab } from "./learning.js";
import { liveTab } from "./live.js";
import { openMedia } from "./media.js";
import { modelsTab } from "./models.js";
import { performanceTab } from "./performance.js";
import { playlistsTab } from "./playlists.js";
import { previewTab } from "./preview.js";
import { rulesTab } from "./rules.js";
import { seriesTab } from "./series.js";
import { servedTab } from "./served.js";
import { settingsTab } from "./settings.js";
import { PLATFORM, logo, signInAgain, signInPage } from "./sign_in.js";
import { tenantsTab } from "./tenants.js";
import { storiesTab } from "./stories.js";
import { T } from "./texts.js";
import { videosTab } from "./videos.js";

/** @typedef {Record<string, [string, (place: any) => any]>} Tabs */
/** @type {Tabs} */
const TABS = { preview: ["Preview", previewTab], rules: ["Rules", rulesTab], videos: ["Videos", videosTab], performance: ["Performance", performanceTab],
  playlists: ["Playlists", playlistsTab], feeds: ["Feeds", feedsTab], series: ["Series", seriesTab], experiments: ["Experiments", experimentsTab], models: ["Models", modelsTab],
  learning: ["Learning", learningTab], stories: ["Stories", storiesTab], settings: ["Settings", settingsTab], served: ["Served page", servedTab], imports: ["Imports", importsTab],
  history: ["History", historyTab], keys: ["Keys", keysTab] };
/** @type {Tabs} */
const PLATFORM_TABS = { live: ["Live", liveTab], tenants: ["Tenants", tenantsTab], keys: ["Keys", keysTab] };
let mayKeys = false; // whether the key has the scope ops
let hasStories = false; // whether the flag `stories` is on for the tenant
const signedInTabs = () => Object.fromEntries(Object.entries(session.tenant === PLATFORM ? PLATFORM_TABS : TABS).filter(([name]) => (mayKeys || name !== "keys") && (hasStories || name !== "stories")));
const header = document.getElementById("header");
const main = document.getElementById("main");
let shown = ""; // the hash of the tab on the page

function signIn(message = null) {
  whenExpired(null);
  document.title = `Sign in · ${T.app}`;
  show(header);
  document.body.classList.add("signed-out");
  signInPage(main, message, () => open().catch((error) => signIn(error.message)));
}

async function signOut() {
  if (!(await mayLeave())) return;
  forget();
  shown = location.hash = "";
  signIn();
}

function switchBadge(state) {
  const pulled = state["personalized-feed"] === false;
  const unknown = !("personalized-feed" in state);
  return h("button", { class: `badge ${pulled || unknown ? "warn" : "good"}`, id: "switch",
    onclick: () => notice("This shows whether personalized feeds are on for everybody. Only operators can switch it.") },
  h("span", { class: "dot" }), pulled ? "Personalization is off" : unknown ? "Personalization unknown" : "Personalization is on");
}

async function open() {
  whenExpired(signInAgain);
  if (session.tenant !== PLATFORM && await openMedia()) return;
  const state = session.tenant === PLATFORM ? {} : (await call("POST", "preview", { limit: 1 })).switch;
  const badge = session.tenant === PLATFORM ? null : switchBadge(state);
  hasStories = state.stories === true && await get("stories?limit=1").then(() => true, () => false);
  mayKeys = await get("keys").then(() => true, () => false);
  document.body.classList.remove("signed-out");
  const tabs = h("nav", { class: "tabs", "aria-label": "Sections" }, Object.entries(signedInTabs()).map(([name, [label]]) =>
    h("a", { href: `#${name}`, "data-tab": name }, label)));
  show(header, h("div", { class: "bar" }, logo(), h("span", { class: "tenant" }, session.tenant), badge,
    h("button", { class: "quiet", onclick: doing(signOut) }, "Sign out")),
  h("div", { class: "tab-row" }, h("button", { class: "quiet icon on", tabindex: -1, "aria-hidden": "true", onclick: () => tabs.scrollBy({ left: -200 }) }, "‹"), tabs,
    h("button", { class: "quiet icon on", tabindex: -1, "aria-hidden": "true", onclick: () => tabs.scrollBy({ left: 200 }) }, "›")));
  await route();
}

async function route() {
  if (!session.key) return signIn();
  const known = signedInTabs();
  const name = location.hash.slice(1) in known ? location.hash.slice(1) : Object.keys(known)[0];
  shown = location.hash;
  document.title = `${known[name][0]} · ${T.app}`;
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (header.querySelectorAll("[data-tab]")))
    if (link.dataset.tab === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  reachTab();
  const place = h("section", { class: `tab ${name}`, "aria-label": known[name][0] }, skeleton());
  show(main, place);
  try {
    await known[name][1](place);
  } catch (error) {
    if (error.status === 401) return signIn("The key is no longer valid.");
    if (place.isConnected) show(place, h("div", { class: "card empty", role: "alert" }, h("p", {}, error.message),
      h("button", { onclick: () => route() }, T.retry)));
  }
}

// On a narrow screen the tabs are a row that scrolls: the one that is open is in sight.
const reachTab = () => header.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Going to another tab, also by the browser's own button, asks first where edits would be lost.
async function moved() {
  if (location.hash === shown) return;
  const wanted = location.hash;
  if (await mayLeave()) return route();
  if (location.hash === wanted) history.replaceState(null, "", shown || "#");
}

window.addEventListener("hashchange", () => moved().catch((error) => notice(error.message, "bad")));
window.addEventListener("resize", reachTab);
window.addEventListener("offline", () => notice(T.offline, "bad"));
window.addEventListener("online", () => notice(T.online));
if (session.key) open().catch((error) => signIn(error.message));
else signIn();
