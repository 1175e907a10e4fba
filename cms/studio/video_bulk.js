// Bulk actions on videos: one call per video, a few in parallel, each with its own result and history entry.

import { call, get, post } from "./api.js";
import { choice, dialog, field, h, notice, show, text } from "./dom.js";
import { RATINGS, T } from "./texts.js";

const AT_ONCE = 4;
const MAX_PLAYLIST = 500;
const part = encodeURIComponent;

/**
 * The bar over the list, shown while videos are selected.
 * @param {Map<string, any>} selected videos by id @param {{ changed: () => void, done: () => Promise<void> }} told
 */
export function bulkBar(selected, { changed, done }) {
  const element = h("div", { class: "bulk card", role: "region", "aria-label": "Selected videos", hidden: true });
  const close = () => { selected.clear(); changed(); };
  const videos = () => [...selected.values()];
  const ended = (failed) => { selected.clear(); for (const video of failed) selected.set(video.id, video); changed(); return done(); };
  const button = (label, open, kind = "") => h("button", { class: kind, onclick: () => open(videos(), ended) }, label);

  function draw() {
    element.hidden = selected.size === 0;
    const had = element.contains(document.activeElement);
    show(element, h("strong", { role: "status" }, `${selected.size.toLocaleString()} selected`),
      button("Take down", takeDown, "danger"), button("Restore", restore), button("Tags", retag), button("Rating", rate), button("Add to playlist", addToPlaylist),
      h("button", { class: "quiet", onclick: close }, "Clear selection"));
    if (had && !element.hidden) element.querySelector("button").focus();
  }
  return { element, draw };
}

const named = (videos) => (videos.length === 1 ? `“${videos[0].title}”` : `${videos.length.toLocaleString()} videos`);

function takeDown(videos, ended) {
  const why = h("input", { id: "bulk-reason", type: "text", maxlength: 300, autocomplete: "off" });
  steps(`Take down ${named(videos)}?`, "Take down", videos, ended, [h("p", { class: "question" }, "They leave all feeds within 15 seconds, also for viewers who are scrolling now."),
    h("div", { class: "field" }, h("label", { for: "bulk-reason" }, "Reason (shown in History)"), why)], () => {
    const reason = why.value.trim();
    return (video) => post(`videos/${part(video.id)}/takedown`, reason ? { reason } : {});
  });
}

function restore(videos, ended) {
  steps(`Restore ${named(videos)}?`, "Restore", videos, ended, [h("p", { class: "question" }, "Each video gets the status it had before the takedown. Videos that are not taken down stay as they are.")],
    () => (video) => post(`videos/${part(video.id)}/restore`));
}

const words = (value) => value.split(",").map((each) => each.trim()).filter(Boolean);

function retag(videos, ended) {
  let added, removed;
  steps(`Tags of ${named(videos)}`, "Change tags", videos, ended, [
    field("Add tags", (id) => (added = text({ maxlength: 400 })(id)), "Separate tags with commas"), field("Remove tags", (id) => (removed = text({ maxlength: 400 })(id)))], () => {
    const more = words(added.value), less = new Set(words(removed.value));
    if (!more.length && !less.size) return null;
    return (video) => changed(video, (now) => ({ tags: [...new Set([...now.tags.filter((tag) => !less.has(tag)), ...more])] }));
  });
}

function rate(videos, ended) {
  let rating;
  steps(`Rating of ${named(videos)}`, "Change rating", videos, ended, [field("New rating", (id) => (rating = choice(RATINGS, "PG")(id)))],
    () => (video) => changed(video, () => ({ maturityRating: rating.value })));
}

// A change of the video as it is stored now, tried again when somebody else saves it in between.
async function changed(video, fields, tries = 3) {
  const now = await get(`videos/${part(video.id)}`);
  const wanted = fields(now);
  if (Object.entries(wanted).every(([name, value]) => JSON.stringify(now[name]) === JSON.stringify(value))) return;
  try {
    await call("PATCH", `videos/${part(video.id)}`, wanted, { etag: now.etag });
  } catch (error) {
    if (error.code !== "stale_etag" || tries === 1) throw error;
    await changed(video, fields, tries - 1);
  }
}

async function addToPlaylist(videos, ended) {
  let playlists;
  try {
    ({ playlists } = await get("playlists"));
  } catch (error) {
    return notice(error.message, "bad");
  }
  if (!playlists.length) return notice("There are no playlists yet. Create one on the page Playlists first.", "bad");
  let chosen;
  const faults = h("p", { class: "problem", role: "alert", hidden: true });
  const go = h("button", { type: "button", class: "primary", onclick: async () => {
    go.disabled = true;
    try {
      const playlist = await get(`playlists/${chosen.value}`);
      const ids = [...new Set([...playlist.videoIds, ...videos.map((each) => each.id)])];
      if (ids.length > MAX_PLAYLIST) throw new Error(`A playlist can have at most ${MAX_PLAYLIST} videos. This one has ${playlist.videoIds.length}.`);
      await call("PATCH", `playlists/${chosen.value}`, { videoIds: ids }, { etag: playlist.etag });
      box.close();
      notice(`${ids.length - playlist.videoIds.length} added to “${playlist.name}”.`);
      await ended([]);
    } catch (error) {
      show(faults, error.code === "stale_etag" ? "Somebody else changed the playlist at the same time. Try again." : error.message);
      faults.hidden = false;
      go.disabled = false;
    }
  } }, "Add");
  const box = dialog(`Add ${named(videos)} to a playlist`, faults, field("Playlist", (id) => (chosen = choice(playlists.map((each) => [each.id, each.name]), playlists[0].id)(id)), "The videos are added at the end. Videos that are in it already keep their position."),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, T.cancel), go));
}

/**
 * A dialog that asks, then does one thing to each video, tells how far it is, and names what failed.
 * @param {string} title @param {string} label @param {any[]} videos @param {(failed: any[]) => Promise<void>} ended @param {any[]} content
 * @param {() => ((video: any) => Promise<any>) | null} prepare reads the form; null: nothing is to be done
 */
function steps(title, label, videos, ended, content, prepare) {
  const place = h("div", { class: "bulk-steps" });
  let stopped = false;
  const box = dialog(title, place);
  box.addEventListener("close", () => { stopped = true; });
  const go = h("button", { type: "button", class: label === "Take down" ? "danger" : "primary", onclick: () => { const act = prepare(); if (act) run(act, videos); } }, label);
  show(place, content, h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, T.cancel), go));

  async function run(act, all) {
    const waiting = [...all], failed = [];
    let count = 0;
    const told = h("p", { role: "status" }), progress = h("progress", { max: all.length, value: 0, "aria-label": title });
    show(place, told, progress, h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, "Stop")));
    const tell = () => { told.textContent = `${count.toLocaleString()} of ${all.length.toLocaleString()}`; progress.value = count; };
    tell();
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let video = waiting.shift(); video && !stopped; video = waiting.shift()) {
        try {
          await act(video);
        } catch (error) {
          failed.push({ video, message: error.message });
        }
        count += 1;
        tell();
      }
    }));
    const left = [...failed.map((each) => each.video), ...waiting];
    if (!failed.length) {
      box.close();
      notice(stopped && count < all.length ? `Stopped after ${count} of ${all.length}.` : `${label}: done for ${count === 1 ? "1 video" : `${count.toLocaleString()} videos`}.`);
    } else {
      show(place, h("p", { class: "problem", role: "alert" }, `${count - failed.length} done, ${failed.length} failed.`),
        h("ul", { class: "left", id: "bulk-failures" }, failed.map((each) => h("li", {}, h("b", {}, `${each.video.title} `), h("code", {}, each.video.id), ` ${each.message}`))),
        h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.close() }, T.close), h("button", { type: "button", class: "primary", onclick: () => run(act, failed.map((each) => each.video)) }, T.retry)));
    }
    await ended(left).catch((error) => notice(error.message, "bad"));
  }
}
