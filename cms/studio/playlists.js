// Playlists: ordered videos that rules can pin, or limit a feed to.

import { call, get } from "./api.js";
import { line } from "./controls.js";
import { ask, doing, h, notice, show } from "./dom.js";
import { formDialog, makeForm, saveButton, savedNotice } from "./forms.js";
import { createNamed } from "./ids.js";
import { combobox } from "./pickers.js";
import { titleOf, videos } from "./sources.js";

export async function playlistsTab(place) {
  let playlists = [];

  async function reload() {
    ({ playlists } = await get("playlists"));
    show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Playlists"), h("p", { class: "muted" }, "Ordered lists of videos. A rule can pin a playlist to positions of the feed, or limit the feed to it.")),
      h("button", { class: "primary", onclick: () => edit(null) }, "New playlist")),
    playlists.length ? h("ul", { class: "cards" }, playlists.map((playlist) => h("li", { class: "card rule-card", "data-playlist": playlist.id }, h("div", { class: "rule-line" },
      h("span", { class: "rule-icon", "aria-hidden": "true" }, "≡"), h("div", { class: "grow" }, h("h2", {}, playlist.name),
        h("p", { class: "muted" }, `${playlist.videoIds.length} videos · `, h("code", {}, playlist.id)),
        playlist.unknownVideoIds?.length ? h("p", { class: "problem" }, `Not in the catalog: ${playlist.unknownVideoIds.slice(0, 5).join(", ")}`) : null)),
    h("div", { class: "actions" }, h("button", { class: "quiet", onclick: doing(() => remove(playlist)) }, "Delete"), h("button", { onclick: () => edit(playlist) }, "Edit")))))
      : h("div", { class: "card empty" }, h("p", {}, "No playlists yet.")));
  }

  async function remove(playlist) {
    if (!(await ask("Delete this playlist?", `“${playlist.name}” is deleted at once. You can restore it from History.`, "Delete"))) return;
    await call("DELETE", `playlists/${playlist.id}`, undefined, { etag: playlist.etag });
    savedNotice("playlist", playlist.id, reload, "Deleted.");
    await reload();
  }

  function edit(playlist) {
    const form = makeForm(playlist, {
      name: { label: "Name", kind: line({ maxlength: 100 }) },
      description: { label: "Description", kind: line({ maxlength: 500 }), hint: "Only your team sees it" },
      videoIds: { label: "Add videos", kind: videoOrder() },
    });
    const box = formDialog(playlist ? "Edit the playlist" : "New playlist", form, form.at("name", "description", "videoIds"), [saveButton()], async () => {
      const saved = await form.submit(() => {
        if (!playlist) return createNamed("playlists", form.changes(), "playlist", playlists.map((each) => each.id));
        return call("PATCH", `playlists/${playlist.id}`, form.changes(), { etag: form.etag });
      }, playlist && (() => get(`playlists/${playlist.id}`)), { known: true });
      if (!saved) return;
      box.close();
      if (playlist) savedNotice("playlist", playlist.id, reload);
      else notice("Saved.");
      await reload();
    });
  }
  await reload();
}

// Videos in an order that buttons change. @returns {import("./controls.js").Kind}
function videoOrder() {
  return { show: (value) => JSON.stringify(value ?? []), read: (text) => JSON.parse(text), say: (text) => JSON.parse(text).join(", ") || "no videos",
    make: (id, changed) => {
      let ids = [];
      const items = h("ol", { class: "order" });
      const added = h("input", { id, type: "text", autocomplete: "off", placeholder: "words of a title, or ids separated by commas",
        onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); add(); } } });
      const pending = () => added.value.split(/[\s,]+/).filter(Boolean);
      const all = () => [...new Set([...ids, ...pending()])];
      const add = () => { ids = all(); added.value = ""; draw(); changed(); };
      const move = (from, to) => {
        ids.splice(to, 0, ...ids.splice(from, 1));
        draw();
        changed();
        items.children[to]?.querySelector("button:not(:disabled)")?.focus();
      };
      const draw = () => show(items, ids.map((each, at) => h("li", {}, h("span", { class: "grow" }, titled(each)),
        h("button", { type: "button", class: "icon quiet", "aria-label": `Move ${each} up`, disabled: at === 0, onclick: () => move(at, at - 1) }, "↑"),
        h("button", { type: "button", class: "icon quiet", "aria-label": `Move ${each} down`, disabled: at === ids.length - 1, onclick: () => move(at, at + 1) }, "↓"),
        h("button", { type: "button", class: "icon quiet", "aria-label": `Remove ${each}`, onclick: () => { ids.splice(at, 1); draw(); changed(); } }, "✕"))));
      const line = h("div", { class: "row" }, h("div", { class: "grow" }, added), h("button", { type: "button", onclick: add }, "Add"));
      combobox(added, videos, (id) => { added.value = id; add(); }, line.firstChild);
      const unknown = async () => {
        const known = await Promise.all(all().map((each) => videos.known(each).catch(() => true)));
        return all().filter((_, at) => !known[at]);
      };
      return { input: added, get: () => JSON.stringify(all()), put: (text) => { ids = JSON.parse(text); added.value = ""; draw(); }, unknown,
        element: h("div", {}, line, items) };
    } };
}

// The title of a video, as soon as it is known, and its id.
function titled(id) {
  const place = h("b", {});
  titleOf(id).then((title) => { place.textContent = title ? `${title} ` : ""; }, () => {});
  return [place, h("code", {}, id)];
}
