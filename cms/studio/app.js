// The shell: signing in, the header with the state of the switch, and the tabs.

import { call, forget, get, remember, session } from "./api.js";
import { doing, field, h, notice, show, text } from "./dom.js";
import { historyTab } from "./history.js";
import { learningTab } from "./learning.js";
import { liveTab } from "./live.js";
import { playlistsTab } from "./playlists.js";
import { previewTab } from "./preview.js";
import { rulesTab } from "./rules.js";
import { servedTab } from "./served.js";
import { settingsTab } from "./settings.js";
import { tenantsTab } from "./tenants.js";
import { videosTab } from "./videos.js";

const TABS = { preview: ["Preview", previewTab], rules: ["Rules", rulesTab], videos: ["Videos", videosTab],
  playlists: ["Playlists", playlistsTab], learning: ["Learning", learningTab], settings: ["Settings", settingsTab], served: ["Served page", servedTab], history: ["History", historyTab] };
const PLATFORM = "_platform"; // operators sign in as the platform, which has no feed
const PLATFORM_TABS = { live: ["Live", liveTab], tenants: ["Tenants", tenantsTab] };
const signedInTabs = () => (session.tenant === PLATFORM ? PLATFORM_TABS : TABS);
const header = document.getElementById("header");
const main = document.getElementById("main");

const logo = () => h("span", { class: "logo" }, h("img", { src: "/studio/icon.svg", alt: "", width: 28, height: 28 }), "Feed Studio");

function signIn(message = null) {
  show(header);
  document.body.classList.add("signed-out");
  let tenant, key;
  show(main, h("form", { class: "sign-in card", onsubmit: doing(async (event) => {
    event.preventDefault();
    remember(tenant.value.trim(), key.value.trim());
    try {
      await (session.tenant === PLATFORM ? get("tenants") : get("configuration"));
    } catch (error) {
      const scope = session.tenant === PLATFORM ? "ops" : "cms";
      forget();
      signIn(error.status === 403 ? `This key may not open the Studio: it needs the scope ${scope}.` : error.message);
      return;
    }
    open();
  }) }, logo(), h("p", { class: "muted" }, "See what viewers see, change it, and take anything back."),
  message && h("p", { class: "problem", role: "alert" }, message),
  field("Tenant", (id) => (tenant = text({ name: "tenant", required: true, value: session.tenant || "tenant_1" })(id))),
  field("Key", (id) => (key = h("input", { id, name: "key", type: "password", required: true, autocomplete: "off" })),
    "The key stays in this tab."),
  h("button", { class: "primary wide", type: "submit" }, "Sign in")));
  (tenant.value ? key : tenant).focus();
}

function switchBadge(state) {
  const pulled = state["personalized-feed"] === false;
  const unknown = !("personalized-feed" in state);
  return h("span", { class: `badge ${pulled || unknown ? "warn" : "good"}`, id: "switch",
    title: "The kill switch, as the app sees it now. Operators flip it." },
  h("span", { class: "dot" }), pulled ? "Personalization is off" : unknown ? "Switch unknown" : "Personalization is on");
}

async function open() {
  document.body.classList.remove("signed-out");
  const badge = session.tenant === PLATFORM ? null : switchBadge((await call("POST", "preview", { limit: 1 })).switch);
  const tabs = h("nav", { class: "tabs", "aria-label": "Sections" }, Object.entries(signedInTabs()).map(([name, [label]]) =>
    h("a", { href: `#${name}`, "data-tab": name }, label)));
  show(header, h("div", { class: "bar" }, logo(), h("span", { class: "tenant" }, session.tenant), badge,
    h("button", { class: "quiet", onclick: () => { forget(); location.hash = ""; signIn(); } }, "Sign out")), tabs);
  await route();
}

async function route() {
  if (!session.key) return signIn();
  const known = signedInTabs();
  const name = location.hash.slice(1) in known ? location.hash.slice(1) : Object.keys(known)[0];
  for (const link of header.querySelectorAll("[data-tab]"))
    if (link.dataset.tab === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  const place = h("section", { class: `tab ${name}`, "aria-label": known[name][0] });
  show(main, place);
  try {
    await known[name][1](place);
  } catch (error) {
    if (error.status === 401) return signIn("The key is no longer valid.");
    show(place, h("div", { class: "card empty" }, h("p", {}, error.message),
      h("button", { onclick: () => route() }, "Try again")));
  }
}

window.addEventListener("hashchange", () => route().catch((error) => notice(error.message, "bad")));
if (session.key) open().catch((error) => signIn(error.message));
else signIn();
