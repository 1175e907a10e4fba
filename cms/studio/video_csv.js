// CSV export of the video list, for spreadsheets.

import { get } from "./api.js";
import { h, notice } from "./dom.js";

const COLUMNS = ["id", "title", "mainTag", "tags", "creatorId", "maturityRating", "state", "status", "durationSeconds", "language", "countries", "publishedAt", "expiresAt", "playbackUrl", "thumbnailUrl", "updatedAt", "updatedBy"];
const FIGURES = [["impressions7d", "impressions"], ["views7d", "views"], ["likes7d", "likes"], ["watchTimeMs7d", "watchTimeMs"]];
const PAGE = 200, MOST = 50_000;

/** A cell as text alone: what a spreadsheet would compute gets an apostrophe before it. @param {any} value */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = Array.isArray(value) ? value.join(", ") : String(value);
  const safe = /^[\s\u0000-\u001f]*[=+\-@＝＋－＠\t\r]/u.test(text) ? `'${text}` : text;
  return /[",;\r\n\t']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {any[]} videos @returns {string} the table, with the mark that spreadsheets know UTF-8 by */
export function csvOf(videos) {
  const head = [...COLUMNS, ...FIGURES.map(([name]) => name)].join(",");
  const lines = videos.map((video) => [...COLUMNS.map((name) => cell(video[name])), ...FIGURES.map(([, name]) => cell(video.last7d?.[name]))].join(","));
  return `\ufeff${[head, ...lines].join("\r\n")}\r\n`;
}

/** Reads the whole list, page by page, and has the browser keep it. @param {Record<string, string>} asked */
export async function exportVideos(asked) {
  const videos = [];
  let cursor = null, total = 0;
  const place = h("div", { class: "notice good" });
  document.getElementById("notices").append(place);
  try {
    do {
      const page = await get(`videos?${new URLSearchParams({ limit: String(PAGE), ...asked, ...(cursor ? { cursor } : {}) })}`);
      videos.push(...page.videos);
      ({ nextCursor: cursor, total } = page);
      place.textContent = `Reading ${videos.length.toLocaleString()} of ${total.toLocaleString()} …`;
    } while (cursor && videos.length < MOST);
  } finally {
    place.remove();
  }
  const link = h("a", { href: URL.createObjectURL(new Blob([csvOf(videos)], { type: "text/csv" })), download: `videos-${new Date().toISOString().slice(0, 10)}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  notice(cursor ? `Exported the first ${videos.length.toLocaleString()} of ${total.toLocaleString()} videos.` : `Exported ${videos.length.toLocaleString()} videos.`);
}
