// Calls to this app's own API. The key stays in this tab and goes nowhere else.

const STORE = "feed-studio";

export const session = JSON.parse(sessionStorage.getItem(STORE) ?? "null") ?? { tenant: "", key: "" };

export function remember(tenant, key) {
  Object.assign(session, { tenant, key });
  sessionStorage.setItem(STORE, JSON.stringify(session));
}

export function forget() {
  Object.assign(session, { tenant: "", key: "" });
  sessionStorage.removeItem(STORE);
}

export class Refused extends Error {
  constructor(status, problem) {
    const errors = problem.errors ?? [];
    super(errors.length > 1 ? errors.map((each) => each.message).join(" ") : problem.detail ?? `Error ${status}`);
    Object.assign(this, { status, code: problem.code, errors });
  }
}

export async function call(method, path, body, { etag, headers = {}, type = "application/json" } = {}) {
  const sent = { "X-Tenant-Id": session.tenant, "X-Api-Key": session.key, ...headers };
  if (etag) sent["If-Match"] = etag;
  if (body !== undefined) sent["Content-Type"] = type;
  let response;
  try {
    response = await fetch(`/v1/cms/${path}`, {
      method, headers: sent, cache: "no-store",
      body: body === undefined || typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch {
    throw new Error("The app does not answer. Check the connection and try again.");
  }
  const read = response.status === 204 ? {} : await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, read);
  return { ...read, etag: response.headers.get("ETag") ?? read.etag };
}

export const get = (path) => call("GET", path);
export const post = (path, body, options) => call("POST", path, body ?? {}, options);
