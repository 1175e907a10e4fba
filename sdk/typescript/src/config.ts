/** What the service says about batches: asked for at the start, and again when the answer has grown old. */

import type { components } from "./api-types.js";
import type { Clock } from "./clock.js";
import type { Http } from "./http.js";
import type { Limits } from "./queue.js";

type Config = components["schemas"]["Config"];

export interface BatchLimits extends Limits {
  flushSeconds: number;
}

const DEFAULTS: BatchLimits = { maxEvents: 100, maxBytes: 262_144, flushSeconds: 5 };
const DEFAULT_MAX_AGE_SECONDS = 300;

export class ServiceConfig {
  readonly limits: BatchLimits = { ...DEFAULTS };
  readonly #http: Http;
  readonly #clock: Clock;
  #askedAt: number | undefined;
  #maxAgeMs = DEFAULT_MAX_AGE_SECONDS * 1000;
  #etag: string | null = null;

  constructor(http: Http, clock: Clock) {
    this.#http = http;
    this.#clock = clock;
  }

  /** Asks when it is due. Never rejects: what is known stays. */
  async refresh(): Promise<void> {
    const now = this.#clock.now();
    const age = now - (this.#askedAt ?? -Infinity);
    if (age >= 0 && age < this.#maxAgeMs) return;
    this.#askedAt = now;
    try {
      const headers: Record<string, string> = this.#etag === null ? {} : { "If-None-Match": this.#etag };
      const answer = await this.#http.send({ path: "/v1/config", headers });
      this.#etag = answer.headers.get("ETag") ?? this.#etag;
      const maxAge = /max-age=(\d+)/.exec(answer.headers.get("Cache-Control") ?? "")?.[1];
      this.#maxAgeMs = Number(maxAge ?? DEFAULT_MAX_AGE_SECONDS) * 1000;
      Object.assign(this.limits, known((answer.body as Config | undefined)?.events));
    } catch {
      // What does not work here does not work for the feed either, which says so.
    }
  }
}

/** The limits among what was sent: numbers of 1 and more. */
function known(sent: Config["events"] | undefined): Partial<BatchLimits> {
  const entries = Object.entries(sent ?? {}).filter(([name, value]) => name in DEFAULTS && Number(value) >= 1);
  return Object.fromEntries(entries);
}
