// Pictures and clips, loaded only from the media hosts that the tenant declares. The page is opened with a ticket that names
// these hosts, and its content security policy allows exactly those.

import { get, session } from "./api.js";
import { dialog, doing, h, hue, notice, show } from "./dom.js";
import { T } from "./texts.js";

const STORE = "feed-studio-media";
const TICKET_MS = 300_000; // a ticket that is older opens nothing
const meta = document.querySelector('meta[name="media-hosts"]')?.getAttribute("content") ?? "";
const open = new Set(meta.split(" ").filter(Boolean)); // what this page's policy allows
let declared = new Set(); // what the tenant declares now

const same = () => declared.size === open.size && [...declared].every((host) => open.has(host));

/**
 * Read the tenant's hosts. A page that allows others than those is opened anew, once.
 * @returns {Promise<boolean>} whether it is being opened anew
 */
export async function openMedia() {
  const { hosts, ticket } = await get("media-ticket").catch(() => ({ hosts: [], ticket: null })); // without it there are no pictures, and all else
  declared = new Set(hosts);
  if (same()) return false;
  const [wanted, now] = [`${session.tenant} ${hosts.join(" ")}`, Date.now()];
  const asked = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
  if (asked?.wanted === wanted && now - asked.at < TICKET_MS && location.search) return false; // opened so, and refused
  sessionStorage.setItem(STORE, JSON.stringify({ wanted, at: now }));
  location.replace(`/studio${ticket ? `?media=${encodeURIComponent(ticket)}` : ""}${location.hash}`);
  return true;
}

/** Look again at what is declared, after the settings were saved. */
export async function rereadMedia() {
  declared = new Set((await get("media-ticket")).hosts);
}

function hostOf(link) {
  try {
    const url = new URL(link);
    return url.protocol === "https:" && !url.port && !url.username ? url.hostname : "";
  } catch {
    return "";
  }
}

/** Whether something of this link may be loaded. @param {string | null | undefined} link */
export const mayLoad = (link) => Boolean(link) && declared.has(hostOf(link)) && open.has(hostOf(link));

/** Why there are no pictures of some videos; null where there are. @param {any[]} videos */
export function whyNoPictures(videos) {
  const hosts = [...new Set(videos.map((video) => hostOf(video.thumbnailUrl ?? video.posterUrl)).filter(Boolean))].filter((host) => !declared.has(host) || !open.has(host));
  if (!hosts.length) return null;
  if (hosts.some((host) => declared.has(host))) return h("p", { class: "hint", id: "no-pictures" }, T.reloadForPictures, " ", h("button", { class: "link", onclick: doing(openMedia) }, T.reloadPage));
  return h("p", { class: "hint", id: "no-pictures" }, T.noPictures, h("a", { href: "#settings" }, T.declareHosts), `: ${hosts.slice(0, 3).join(", ")}${hosts.length > 3 ? " …" : "."}`);
}

/** A video's thumbnail, else its poster, over its category's colours. @param {any} video @param {string} [kind] @param {...any} children */
export function thumb(video, kind = "", ...children) {
  const link = [video.thumbnailUrl, video.posterUrl].find(mayLoad);
  const box = h("span", { class: `thumb ${kind}`, vars: { "--hue": hue(video.mainTag) } }, children);
  if (link) box.prepend(h("img", { src: link, alt: "", loading: "lazy", decoding: "async", onload: () => box.classList.add("loaded"),
    onerror: (event) => { event.target.remove(); box.title = T.pictureFailed; } }));
  return box;
}

/** A player that begins when somebody asks for it; says calmly why there is none. @param {any} video */
export function player(video) {
  const place = h("div", { class: "player" });
  const elsewhere = () => h("a", { href: video.playbackUrl, target: "_blank", rel: "noopener noreferrer" }, T.openElsewhere);
  const instead = (why) => show(place, thumb(video, "wide"), h("p", { class: "muted", role: "status" }, `${why} `, hostOf(video.playbackUrl) && elsewhere()));
  if (!mayLoad(video.playbackUrl)) instead(T.notPlayedHere);
  else show(place, h("video", { src: video.playbackUrl, poster: [video.posterUrl, video.thumbnailUrl].find(mayLoad), controls: true, playsinline: true, preload: "none", "aria-label": video.title,
    onerror: () => instead(T.clipFailed) }));
  return place;
}

/** Play a video in a dialog of its own. @param {string} id */
export const playVideo = (id) => doing(async () => {
  const video = await get(`videos/${encodeURIComponent(id)}`).catch((error) => notice(error.message, "bad"));
  if (video) dialog(video.title, player(video));
});
