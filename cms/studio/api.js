// Calls to this app's own API. The key stays in this tab and goes nowhere else.

import { T } from "./texts.js";

const STORE = "feed-studio";

/** @type {{ tenant: string, key: string }} */
export const session = JSON.parse(sessionStorage.getItem(STORE) ?? "null") ?? { tenant: "", key: "" };

/** @type {(() => Promise<boolean>) | null} */
let renew = null; // asks for another key when this one has ended; true when there is one
let renewing = null;

/** Say how another key is asked for while somebody works. @param {(() => Promise<boolean>) | null} ask */
export const whenExpired = (ask) => { renew = ask; };

export function remember(tenant, key) {
  Object.assign(session, { tenant, key });
  sessionStorage.setItem(STORE, JSON.stringify(session));
}

export function forget() {
  Object.assign(session, { tenant: "", key: "" });
  sessionStorage.removeItem(STORE);
}

/** What the API refused: a stable `code`, and in `errors` every fault with its field. */
export class Refused extends Error {
  constructor(status, problem) {
    const errors = problem.errors ?? [];
    super(errors.length > 1 ? errors.map((each) => each.message).join(" ") : problem.detail ?? `Error ${status}`);
    this.status = status;
    this.code = problem.code;
    this.errors = errors;
  }
}

/**
 * One call. A key that has ended is asked for again, and the call repeated with the new one.
 * @param {string} method
 * @param {string} path below /v1/cms/, or whole where it begins with a slash
 * @param {any} [body] sent as JSON, but for texts and files
 * @param {{ etag?: string, headers?: Record<string, string>, type?: string, as?: { tenant: string, key: string } }} [options]
 * @returns {Promise<any>} what was answered, with its `etag`
 */
export async function call(method, path, body, options = {}) {
  const { etag, headers = {}, type = "application/json", as = null } = options;
  const { tenant, key } = as ?? session;
  const sent = { "X-Tenant-Id": tenant, "X-Api-Key": key, ...headers };
  if (etag) sent["If-Match"] = etag;
  if (body !== undefined) sent["Content-Type"] = type;
  for (const [name, value] of Object.entries(sent)) {
    const odd = oddCharacter(value);
    if (odd) throw new Error(`${name} has a character that cannot be sent: ${odd}. Copy it again.`);
  }
  let response;
  try {
    response = await fetch(path.startsWith("/") ? path : `/v1/cms/${path}`, {
      method, headers: sent, cache: "no-store",
      body: body === undefined || typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch {
    throw new Error(navigator.onLine ? T.noAnswer : T.offline);
  }
  const read = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (response.status === 401 && !as && renew) {
    if (key !== session.key) return call(method, path, body, options); // somebody signed in again meanwhile
    renewing ??= renew().finally(() => { renewing = null; });
    if (await renewing) return call(method, path, body, options);
  }
  if (!response.ok) throw new Refused(response.status, read);
  return { ...read, etag: response.headers.get("ETag") ?? read.etag };
}

export const get = (path) => call("GET", path);
/** @param {any} [body] @param {Parameters<typeof call>[3]} [options] */
export const post = (path, body, options) => call("POST", path, body ?? {}, options);

const QUOTES = /^["'`´‘’‚‛“”„‟«»‹›]+|["'`´‘’‚‛“”„‟«»‹›]+$/gu;

/** What was pasted, without what cannot be seen and without quotes around it. @param {string} text */
export const pasted = (text) => text.replace(/[\p{C}\p{Z}\s\u034f\u115f\u1160\u3164\ufe00-\ufe0f]/gu, "").replace(QUOTES, "");

/** The first character that no header can have, named; null where there is none. @param {string} text */
export function oddCharacter(text) {
  const at = [...text].findIndex((each) => each < " " || each > "~");
  if (at < 0) return null;
  const odd = [...text][at];
  const script = ["Cyrillic", "Greek", "Latin", "Hebrew", "Arabic", "Han"].find((name) => new RegExp(`\\p{Script=${name}}`, "u").test(odd));
  return `“${odd}” (U+${odd.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}${script ? `, ${script}` : ""}), at place ${at + 1}`;
}
