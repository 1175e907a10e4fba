/** The events that wait: packed into batches, bounded, and written to a store before they are sent. */

import type { ClockCheck } from "./clock.js";
import type { EventBody } from "./events.js";
import type { Viewer } from "./http.js";
import { randomId } from "./random-id.js";
import type { Store } from "./storage.js";

/** An event that waits. It keeps the user and the consent of the moment when it happened. */
export interface QueuedEvent extends Viewer {
  readonly kind: "event";
  readonly id: string;
  /** When it happened, by the device. */
  readonly at: number;
  readonly type: string;
  /** The play it tells the time of. A later event of the same play tells more, and takes its place. */
  readonly play?: string;
  /** The event as JSON. */
  readonly text: string;
}

/** Events packed for sending. Whatever happens, it is sent as these bytes under this id until it is answered. */
export interface Batch extends Viewer {
  readonly kind: "batch";
  /** Its Idempotency-Key. */
  readonly id: string;
  /** When it was packed, by the device. */
  readonly at: number;
  readonly count: number;
  /** The body of the request. */
  readonly text: string;
}

export type Row = QueuedEvent | Batch;

export interface Limits {
  maxEvents: number;
  maxBytes: number;
}

/** Browsers send 64 kB at most for a page that is gone, headers aside. A batch of 100 events has about 40 kB. */
export const KEEPALIVE_BYTES = 60_000;
/** The service knows a batch for 14 days. One that may have arrived must not come again after that. */
export const BATCH_LIFE_MS = 13 * 86_400_000;

const ENVELOPE_BYTES = '{"events":[],"sentAt":1000000000000000}'.length;
const bytes = new TextEncoder();

export class Queue {
  #events: QueuedEvent[] = [];
  #batches: Batch[] = [];
  readonly #store: Store;
  readonly #limits: Limits;
  readonly #most: number;
  readonly #check: ClockCheck;
  #written = Promise.resolve();

  constructor(store: Store, limits: Limits, most: number, check: ClockCheck) {
    this.#check = check;
    this.#store = store;
    this.#limits = limits;
    this.#most = most;
  }

  /** How many events wait. */
  get size(): number {
    return this.#batches.reduce((sum, batch) => sum + batch.count, this.#events.length);
  }

  /** Whether a whole batch waits. */
  get full(): boolean {
    return this.#events.length >= this.#limits.maxEvents;
  }

  /** Whether anything waits of a user who is not among `stopped`. */
  waits(stopped: ReadonlyMap<string, unknown>): boolean {
    const goes = (each: Row): boolean => !stopped.has(each.user);
    return this.#batches.some(goes) || this.#events.some(goes);
  }

  /** Takes an event in. Returns those it pushed out: the oldest impressions, then the oldest of all. */
  add(event: QueuedEvent): QueuedEvent[] {
    const replaced = event.play === undefined ? [] : this.#events.filter((each) => replaces(event, each));
    if (replaced.length) this.#events = this.#events.filter((each) => !replaced.includes(each));
    this.#events.push(event);
    const dropped: QueuedEvent[] = [];
    for (let over = this.size - this.#most; over > 0 && this.#events.length; over--) {
      const impression = this.#events.findIndex((each) => each.type === "impression");
      dropped.push(...this.#events.splice(Math.max(impression, 0), 1));
    }
    const ids = [...replaced, ...dropped].map((each) => each.id);
    this.#write(ids.includes(event.id) ? [] : [event], ids);
    return dropped;
  }

  /**
   * The next batch to send, of a user who is not among `stopped`, and a promise of its being stored; undefined where there
   * is none. What was packed before goes first.
   */
  next(stopped: ReadonlyMap<string, unknown>, now: number): { batch: Batch; stored: Promise<void> } | undefined {
    const packed = this.#batches.find((each) => !stopped.has(each.user));
    if (packed) return { batch: packed, stored: this.#written };
    const first = this.#events.find((each) => !stopped.has(each.user));
    if (!first) return undefined;
    const taken = this.#fitting(first);
    const batch = this.#pack(first, taken.map((each) => each.text), now);
    const ids = new Set(taken.map((each) => each.id));
    this.#events = this.#events.filter((each) => !ids.has(each.id));
    this.#batches.push(batch);
    this.#write([batch], [...ids]);
    return { batch, stored: this.#written };
  }

  /** The events of the same user and consent that fit into one batch, oldest first: one at least. */
  #fitting(first: QueuedEvent): QueuedEvent[] {
    const taken: QueuedEvent[] = [];
    const room = Math.min(this.#limits.maxBytes, KEEPALIVE_BYTES) - ENVELOPE_BYTES;
    let size = 0;
    for (const each of this.#events) {
      if (each.user !== first.user || each.personalized !== first.personalized) continue;
      size += bytes.encode(each.text).length + 1;
      if (taken.length && (size > room || taken.length >= this.#limits.maxEvents)) break;
      taken.push(each);
    }
    return taken;
  }

  /** Forgets a batch that was answered, or given up. */
  finish(batch: Batch): void {
    this.#batches = this.#batches.filter((each) => each.id !== batch.id);
    this.#write([], [batch.id]);
  }

  /** Puts two halves in the place of a batch that is too large. Returns whether it could be cut. */
  split(batch: Batch, now: number): boolean {
    const texts = eventsOf(batch).map((each) => JSON.stringify(each));
    if (texts.length < 2) return false;
    const middle = texts.length >> 1;
    const halves = [texts.slice(0, middle), texts.slice(middle)].map((part) => this.#pack(batch, part, now));
    this.#batches = this.#batches.flatMap((each) => (each.id === batch.id ? halves : [each]));
    this.#write(halves, [batch.id]);
    return true;
  }

  /** Takes in what an earlier page has left, before what is newer. */
  merge(rows: readonly Row[]): void {
    const known = new Set([...this.#events, ...this.#batches].map((each) => each.id));
    const older = rows.filter((each) => !known.has(each.id));
    this.#batches.unshift(...older.filter((each) => each.kind === "batch"));
    this.#events.unshift(...older.filter((each) => each.kind === "event"));
  }

  /** Batches that were packed too long ago to be sent again. */
  expired(now: number): Batch[] {
    return this.#batches.filter((each) => now - each.at > BATCH_LIFE_MS);
  }

  /** Throws everything away. */
  async clear(): Promise<void> {
    const ids = [...this.#events, ...this.#batches].map((each) => each.id);
    this.release();
    this.#write([], ids);
    await this.#written;
  }

  /** Lets go of everything in memory. It stays in the store for whoever takes it over. */
  release(): void {
    this.#events = [];
    this.#batches = [];
  }

  /**
   * A batch of some events. `sentAt` lets the service correct a wrong clock; the same bytes may arrive much later, which
   * would move right times by as much, so that it is left out where the clock is known to be right.
   */
  #pack({ user, personalized }: Viewer, texts: string[], now: number): Batch {
    const sentAt = this.#check.isRight ? "" : `,"sentAt":${Math.round(now)}`;
    const text = `{"events":[${texts.join()}]${sentAt}}`;
    return { kind: "batch", id: randomId(), user, personalized, at: now, count: texts.length, text };
  }

  #write(rows: Row[], deleted: string[]): void {
    this.#written = this.#store.write(rows, deleted);
  }
}

/** Whether an event makes a heartbeat that waits superfluous. */
function replaces(event: QueuedEvent, waiting: QueuedEvent): boolean {
  return waiting.type === "progress" && waiting.play === event.play && waiting.personalized === event.personalized;
}

/** What a batch holds. */
export function eventsOf(batch: Batch): EventBody[] {
  return JSON.parse(batch.text).events;
}
