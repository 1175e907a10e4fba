/** One call to the service: headers, time-out, a new user token where the old one has expired, typed errors. */

import type { components } from "./api-types.js";
import type { Clock, ClockCheck } from "./clock.js";
import { FeedError, aborted } from "./errors.js";
import type { Tokens } from "./tokens.js";

type Problem = components["schemas"]["Problem"];

/** Whose call it is, and whether that user agreed to personalization. */
export interface Viewer {
  readonly user: string;
  readonly personalized: boolean;
}

export interface Call {
  readonly path: string;
  readonly viewer?: Viewer;
  readonly headers?: Record<string, string>;
  /** Without it the call is a POST where it has a body, else a GET. */
  readonly method?: string;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** `body` is what the JSON says; undefined for a 304 and a 204. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface Service {
  readonly baseUrl: string;
  readonly tenantId: string;
  readonly apiKey: string;
  readonly fetch: typeof fetch;
}

const TIMEOUT_MS = 10_000;
const MOST_RETRY_AFTER_SECONDS = 3_600;

export class Http {
  readonly #service: Service;
  readonly #tokens: Tokens;
  readonly #clock: Clock;
  readonly #check: ClockCheck;

  constructor(service: Service, tokens: Tokens, clock: Clock, check: ClockCheck) {
    this.#service = service;
    this.#tokens = tokens;
    this.#clock = clock;
    this.#check = check;
  }

  /** The answer of one attempt. Rejects with `FeedError`. Repeats the call once where the user's token has expired. */
  async send(call: Call): Promise<Answer> {
    const user = call.viewer?.user;
    const token = user === undefined ? null : await this.#tokens.of(user);
    try {
      return await this.#attempt(call, token);
    } catch (error) {
      if (!(error instanceof FeedError) || error.code !== "user_token_expired" || !user || !token) throw error;
      return this.#attempt(call, await this.#tokens.of(user, token));
    }
  }

  async #attempt(call: Call, token: string | null): Promise<Answer> {
    const abort = new AbortController();
    const stop = (): void => abort.abort();
    let late = false;
    const cancelTimer = this.#clock.after(TIMEOUT_MS, () => {
      late = true;
      stop();
    });
    if (call.signal?.aborted) stop();
    call.signal?.addEventListener("abort", stop);
    try {
      const response = await this.#service.fetch(this.#service.baseUrl + call.path, {
        method: call.method ?? (call.body === undefined ? "GET" : "POST"),
        headers: this.#headers(call, token),
        body: call.body ?? null,
        // A batch goes on when its page is gone. Browsers allow 64 kB for that, which no batch exceeds.
        keepalive: call.body !== undefined,
        // Pages are kept by us, by one set of rules.
        cache: "no-store",
        signal: abort.signal,
      });
      this.#check.note(response.headers.get("Date"));
      return this.#read(response, await response.text());
    } catch (error) {
      if (error instanceof FeedError) throw error;
      if (call.signal?.aborted) throw aborted();
      throw late
        ? new FeedError("timeout", `No answer came within ${TIMEOUT_MS / 1000} seconds.`)
        : new FeedError("network", error instanceof Error ? error.message : "No answer came.");
    } finally {
      cancelTimer();
      call.signal?.removeEventListener("abort", stop);
    }
  }

  #headers(call: Call, token: string | null): Record<string, string> {
    return {
      "X-Tenant-Id": this.#service.tenantId,
      "X-Api-Key": this.#service.apiKey,
      ...(call.viewer && { "X-User": call.viewer.user }),
      ...(call.viewer?.personalized === false && { "X-Personalization": "off" }),
      ...(token && { "X-User-Token": token }),
      ...(call.body !== undefined && { "Content-Type": "application/json" }),
      ...call.headers,
    };
  }

  #read(response: Response, text: string): Answer {
    const { status, headers } = response;
    if (status === 304 || status === 204) return { status, headers, body: undefined };
    const body = parsed(text);
    if (status >= 400) throw problem(status, headers, body);
    if (typeof body !== "object" || body === null) throw new FeedError("unreadable", "The answer is no JSON.", status);
    return { status, headers, body };
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** An error of the service. What stands before it may answer without a problem: then the status says all. */
function problem(status: number, headers: Headers, body: unknown): FeedError {
  const { code, detail, errorId } = (body ?? {}) as Partial<Problem>;
  const seconds = Number(headers.get("Retry-After") ?? NaN);
  const retryAfter = seconds >= 0 ? Math.min(seconds, MOST_RETRY_AFTER_SECONDS) : undefined;
  return new FeedError(String(code ?? `status_${status}`), String(detail ?? `Status ${status}.`), status, errorId, retryAfter);
}
