/** Sends the queue: one batch after another, each until it is answered. */

import { backOffMs } from "./backoff.js";
import type { components } from "./api-types.js";
import type { Clock } from "./clock.js";
import type { BatchLimits } from "./config.js";
import { FeedError, asFeedError } from "./errors.js";
import type { EventBody } from "./events.js";
import type { Answer, Http } from "./http.js";
import { type Batch, type Queue, eventsOf } from "./queue.js";

type Receipt = components["schemas"]["BatchReceipt"];

/** An event that was refused. It would be refused for ever, so it is not sent again. */
export interface Rejected {
  readonly event: EventBody;
  /** Why: a code of docs/events.md, or that of the refused batch. */
  readonly code: string;
  readonly message: string;
}

/** Events that were given up unsent, and why: more waited than may, or they waited for too long. */
export interface Dropped {
  readonly count: number;
  readonly reason: "queue_full" | "too_old";
}

export interface UploadParts {
  readonly queue: Queue;
  readonly http: Http;
  readonly limits: BatchLimits;
  readonly clock: Clock;
  readonly random: () => number;
  readonly isOffline: () => boolean;
  /** Resolves when what earlier pages have left is in the queue. */
  readonly ready: () => Promise<void>;
  readonly closed: AbortSignal;
  readonly onRejected: (rejected: Rejected[]) => void;
  readonly onDropped: (dropped: Dropped) => void;
  readonly onError: (error: FeedError) => void;
}

const TOO_LARGE = new Set(["too_many_events", "body_too_large", "status_413"]);

export class Uploader {
  readonly #parts: UploadParts;
  /** Users whose batches the service does not take, with its answer. Their events stay in the queue. */
  readonly #stopped = new Map<string, FeedError>();
  #running: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #failures = 0;
  /** The answer that told us to wait, until then. */
  #held: FeedError | undefined;

  constructor(parts: UploadParts) {
    this.#parts = parts;
  }

  /** Sends when a batch is full, and otherwise when it is time. */
  soon(): void {
    if (this.#running || this.#held || !this.#parts.queue.waits(this.#stopped)) return;
    if (this.#parts.queue.full && !this.#failures) this.#inBackground(false);
    else this.#cancelTimer ??= this.#after(this.#parts.limits.flushSeconds * 1000);
  }

  /**
   * Sends all that waits. Rejects with `FeedError` when that cannot be done now; what is left is sent later all the same.
   * There is never more than one upload at a time: who asks meanwhile gets the same promise.
   */
  flush(): Promise<void> {
    return this.#held ? Promise.reject(this.#held) : this.#run(false);
  }

  /** Sends at once what fits into one batch: the page may be gone in a moment. */
  hide(): void {
    if (!this.#held) this.#inBackground(true);
  }

  /** Tries at once, but for what the service told us to wait for. */
  wake(): void {
    if (!this.#held) this.#inBackground(false);
  }

  /** Tries again for users who were refused, after credentials have changed. */
  resume(): void {
    this.#stopped.clear();
    this.wake();
  }

  close(): void {
    this.#cancelTimer?.();
  }

  #inBackground(urgent: boolean): void {
    this.#run(urgent).catch(() => undefined); // `onError` was told
  }

  #run(urgent: boolean): Promise<void> {
    return (this.#running ??= this.#drain(urgent).finally(() => {
      this.#running = undefined;
      if (!this.#cancelTimer && !this.#parts.closed.aborted) this.soon(); // for what came in the meantime
    }));
  }

  #after(ms: number): () => void {
    return this.#parts.clock.after(ms, () => {
      this.#cancelTimer = this.#held = undefined;
      for (const [user, error] of this.#stopped) if (error.retryable) this.#stopped.delete(user);
      this.#inBackground(false);
    });
  }

  /** `urgent`: on a page that is going nothing is waited for before the first call. */
  async #drain(urgent: boolean): Promise<void> {
    const { queue, clock, ready, isOffline } = this.#parts;
    if (!urgent) await ready();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (;;) {
      this.#dropExpired();
      if (queue.waits(this.#stopped) && isOffline()) throw this.#later(new FeedError("offline", "The device is offline."));
      const next = queue.next(this.#stopped, clock.now());
      if (!next) break;
      if (!urgent) await next.stored;
      await this.#upload(next.batch);
      urgent = false;
    }
    const [stopped] = this.#stopped.values();
    if (stopped) throw stopped;
  }

  async #upload(batch: Batch): Promise<void> {
    const { queue, http, closed } = this.#parts;
    try {
      const answer = await http.send({
        path: "/v1/events/batch",
        viewer: batch,
        headers: { "Idempotency-Key": batch.id },
        body: batch.text,
        signal: closed,
      });
      const receipt = receiptOf(answer);
      queue.finish(batch);
      this.#failures = 0;
      this.#reject(batch, receipt.rejected);
    } catch (caught) {
      this.#refused(batch, asFeedError(caught, "network"));
    }
  }

  /** What follows from an error. Throws it where nothing else can be sent now. */
  #refused(batch: Batch, error: FeedError): void {
    const { queue, clock, onError } = this.#parts;
    if (error.code === "aborted") throw error;
    onError(error);
    if (error.status === 401 || error.status === 403 || error.code === "token") {
      this.#stopped.set(batch.user, error); // others go on, and `flush` rejects with it in the end
      if (error.retryable) this.#later(error);
      return;
    }
    if (error.retryable) throw this.#later(error);
    if (TOO_LARGE.has(error.code) && queue.split(batch, clock.now())) return;
    queue.finish(batch);
    this.#reject(batch, eventsOf(batch).map((_, index) => ({ index, code: error.code, message: error.message })));
  }

  /** Sets the time of the next attempt. */
  #later(error: FeedError): FeedError {
    if (error.retryAfter !== undefined) this.#held = error;
    this.#failures++;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#after(backOffMs(this.#failures, this.#parts.random, error.retryAfter));
    return error;
  }

  #reject(batch: Batch, rejected: Receipt["rejected"]): void {
    if (!rejected.length) return;
    const events = eventsOf(batch);
    const known = rejected.flatMap(({ index, code, message }) => {
      const event = events[index];
      return event ? [{ event, code, message }] : [];
    });
    this.#parts.onRejected(known);
  }

  #dropExpired(): void {
    const { queue, clock, onDropped } = this.#parts;
    for (const batch of queue.expired(clock.now())) {
      queue.finish(batch);
      onDropped({ count: batch.count, reason: "too_old" });
    }
  }
}

/** The receipt of a batch. Whatever else answers 200, such as a hotel's network, has not taken it. */
function receiptOf({ status, body }: Answer): Receipt {
  const receipt = body as Partial<Receipt> | undefined;
  if (status !== 202 || !Array.isArray(receipt?.rejected)) {
    throw new FeedError("unreadable", "The answer is no receipt.", status);
  }
  return receipt as Receipt;
}
