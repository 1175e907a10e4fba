// Parses a table of videos as the service does, to show its first rows and map its columns before the upload.

/** Columns that a file can have; the first ones stand in the template. */
export const COLUMNS = ["id", "title", "playbackUrl", "mainTag", "tags", "creatorId", "durationSeconds", "maturityRating", "language", "countries",
  "ageBands", "platforms", "status", "publishedAt", "expiresAt", "editorialBoost", "popularityOverride", "thumbnailUrl", "posterUrl",
  "width", "height", "seriesId", "season", "episode", "renditions", "captions", "action", "metadata"];
/** What only the service writes: passed over in a file. */
export const PASSED_OVER = ["createdAt", "etag", "last7d", "state", "statusWhenRestored", "updatedAt", "updatedBy"];
export const REQUIRED = ["id", "title", "playbackUrl", "mainTag", "durationSeconds", "maturityRating"];

const IN_TEMPLATE = 15;
const EXAMPLE = { id: "vid_core", title: "Ten minutes of core", playbackUrl: "https://cdn.example/core.m3u8", mainTag: "fitness", tags: "home, core", creatorId: "anna",
  durationSeconds: "41", maturityRating: "PG", language: "en", status: "active" };

const quoted = (cell, delimiter) => (/["\r\n]/.test(cell) || cell.includes(delimiter) ? `"${cell.replaceAll('"', '""')}"` : cell);
const written = (records, delimiter) => records.map((cells) => cells.map((cell) => quoted(cell, delimiter)).join(delimiter)).join("\r\n");

/** A file to fill in: the columns and an example, as spreadsheets open it. */
export const template = () => `\ufeff${written([COLUMNS.slice(0, IN_TEMPLATE), COLUMNS.slice(0, IN_TEMPLATE).map((name) => EXAMPLE[name] ?? "")], ",")}\r\n`;

const folded = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, "");
const KNOWN = new Map([...COLUMNS, ...PASSED_OVER].map((name) => [folded(name), name]));
// What other systems call them.
const ALSO = { videoid: "id", name: "title", headline: "title", url: "playbackUrl", videourl: "playbackUrl", link: "playbackUrl", category: "mainTag", topic: "mainTag", keywords: "tags", labels: "tags",
  creator: "creatorId", author: "creatorId", duration: "durationSeconds", length: "durationSeconds", seconds: "durationSeconds", rating: "maturityRating", lang: "language",
  publishdate: "publishedAt", published: "publishedAt", expires: "expiresAt", expirydate: "expiresAt", thumbnail: "thumbnailUrl", poster: "posterUrl", series: "seriesId" };

/** The column that a heading means: as the service reads it (`known`), else as it may be meant. @param {string} heading */
export function columnOf(heading) {
  const known = KNOWN.get(folded(heading));
  return known ? { name: known, known: true } : { name: ALSO[folded(heading)] ?? "", known: false };
}

/** Cells of every record; a quotation mark that is not closed ends with the file. @param {string} text @param {string} delimiter */
function recordsOf(text, delimiter) {
  const records = [];
  let cells = [], cell = "", inQuotes = false, at = 0;
  const end = () => { cells.push(cell); cell = ""; };
  for (; at < text.length; at += 1) {
    const letter = text[at];
    if (inQuotes) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; } else inQuotes = false;
    } else if (letter === '"' && cell === "") inQuotes = true;
    else if (letter === delimiter) end();
    else if (letter === "\n" || letter === "\r") {
      if (letter === "\r" && text[at + 1] === "\n") at += 1;
      end();
      records.push(cells);
      cells = [];
    } else cell += letter;
  }
  if (cell || cells.length) { end(); records.push(cells); }
  return { records, closed: !inQuotes };
}

/**
 * A table as the service would read it. A row's number is that of the sheet: empty rows count, a cell of several lines does not
 * count twice, and a first line `sep=;` is no row. Null for what is no text.
 * @param {ArrayBuffer} bytes
 */
export function readTable(bytes) {
  const start = new Uint8Array(bytes.slice(0, 2));
  const wide = (start[0] === 0xff && start[1] === 0xfe && "utf-16le") || (start[0] === 0xfe && start[1] === 0xff && "utf-16be");
  let text;
  try {
    text = new TextDecoder(wide || "utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
  const separator = /^"?sep=([,;\t|])"?\r?\n/i.exec(text);
  if (separator) text = text.slice(separator[0].length);
  const head = text.split(/\r\n|\r|\n/).find((each) => each.trim()) ?? "";
  const delimiter = separator?.[1] ?? [",", ";", "\t"].sort((one, other) => head.split(other).length - head.split(one).length)[0];
  const { records, closed } = recordsOf(text, delimiter);
  const filled = records.map((cells, at) => ({ row: at + 1, cells })).filter(({ cells }) => cells.some((cell) => cell.trim()));
  const header = filled.shift() ?? { row: 1, cells: [] };
  return { delimiter, records, closed, header, rows: filled };
}

/**
 * The same table under other headings. Columns without a name are left out; rows keep their numbers.
 * @param {NonNullable<ReturnType<typeof readTable>>} table @param {string[]} names of each column, empty: left out
 */
export function renamed(table, names) {
  const kept = names.map((name, at) => (name ? at : -1)).filter((at) => at >= 0);
  const records = table.records.map((cells, at) => (at + 1 === table.header.row ? kept.map((each) => names[each])
    : cells.some((cell) => cell.trim()) ? kept.map((each) => cells[each] ?? "") : []));
  return `sep=${table.delimiter}\r\n${written(records, table.delimiter)}\r\n`;
}
