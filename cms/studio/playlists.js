// Playlists: an order of videos that rules pin from or limit a feed to.

import { call, get, post } from "./api.js";
import { ask, dialog, doing, field, h, notice, show, text } from "./dom.js";

export async function playlistsTab(place) {
  async function reload() {
    const { playlists } = await get("playlists");
    show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Playlists"), h("p", { class: "muted" }, "A rule can pin a playlist to positions, or limit a feed to it.")),
      h("button", { class: "primary", onclick: () => edit(null) }, "New playlist")),
    playlists.length ? h("ul", { class: "cards" }, playlists.map((playlist) => h("li", { class: "card rule-card" }, h("div", { class: "rule-line" },
      h("span", { class: "rule-icon", "aria-hidden": "true" }, "≡"), h("div", { class: "grow" }, h("h2", {}, playlist.name),
        h("p", { class: "muted" }, `${playlist.videoIds.length} videos · `, h("code", {}, playlist.id)),
        playlist.unknownVideoIds?.length ? h("p", { class: "problem" }, `Not in the catalog: ${playlist.unknownVideoIds.slice(0, 5).join(", ")}`) : null)),
    h("div", { class: "actions" }, h("button", { class: "quiet", onclick: doing(async () => {
      if (!(await ask("Delete this playlist?", `“${playlist.name}” is gone at once. History can bring it back.`, "Delete"))) return;
      await call("DELETE", `playlists/${playlist.id}`, undefined, { etag: playlist.etag });
      await reload();
    }) }, "Delete"), h("button", { onclick: () => edit(playlist) }, "Edit")))))
      : h("div", { class: "card empty" }, h("p", {}, "No playlists yet.")));
  }

  function edit(playlist) {
    const ids = [...(playlist?.videoIds ?? [])];
    const items = h("ol", { class: "order" });
    let name, added;
    const move = (from, to) => {
      ids.splice(to, 0, ...ids.splice(from, 1));
      draw();
      items.children[to]?.querySelector("button")?.focus();
    };
    const draw = () => show(items, ids.map((id, at) => h("li", {}, h("code", { class: "grow" }, id),
      h("button", { type: "button", class: "icon quiet", "aria-label": `Move ${id} up`, disabled: at === 0, onclick: () => move(at, at - 1) }, "↑"),
      h("button", { type: "button", class: "icon quiet", "aria-label": `Move ${id} down`, disabled: at === ids.length - 1, onclick: () => move(at, at + 1) }, "↓"),
      h("button", { type: "button", class: "icon quiet", "aria-label": `Remove ${id}`, onclick: () => { ids.splice(at, 1); draw(); } }, "✕"))));
    const box = dialog(playlist ? "Edit the playlist" : "New playlist", field("Name", (id) => (name = text({ value: playlist?.name ?? "" })(id))),
      field("Add videos", (id) => (added = text({ placeholder: "ids, with commas or blanks" })(id))),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => {
        for (const id of added.value.split(/[\s,]+/).filter(Boolean)) if (!ids.includes(id)) ids.push(id);
        added.value = "";
        draw();
      } }, "Add")), items,
      h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: doing(async () => {
        const body = { name: name.value.trim(), description: playlist?.description ?? "", videoIds: ids };
        const slug = name.value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60) || "playlist";
        if (playlist) await call("PUT", `playlists/${playlist.id}`, body, { etag: playlist.etag });
        else await post("playlists", { ...body, id: slug });
        box.close();
        notice("Saved.");
        await reload();
      }) }, "Save")));
    draw();
  }
  await reload();
}
