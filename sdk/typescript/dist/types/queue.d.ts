/** The events that wait: packed into batches, bounded, and written to a store before they are sent. */
import type { ClockCheck } from "./clock.js";
import type { EventBody } from "./events.js";
import type { Viewer } from "./http.js";
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
export declare const KEEPALIVE_BYTES = 60000;
/** The service knows a batch for 14 days. One that may have arrived must not come again after that. */
export declare const BATCH_LIFE_MS: number;
export declare class Queue {
    #private;
    constructor(store: Store, limits: Limits, most: number, check: ClockCheck);
    /** How many events wait. */
    get size(): number;
    /** Whether a whole batch waits. */
    get full(): boolean;
    /** Whether anything waits of a user who is not among `stopped`. */
    waits(stopped: ReadonlyMap<string, unknown>): boolean;
    /** Takes an event in. Returns those it pushed out: the oldest impressions, then the oldest of all. */
    add(event: QueuedEvent): QueuedEvent[];
    /**
     * The next batch to send, of a user who is not among `stopped`, and a promise of its being stored; undefined where there
     * is none. What was packed before goes first.
     */
    next(stopped: ReadonlyMap<string, unknown>, now: number): {
        batch: Batch;
        stored: Promise<void>;
    } | undefined;
    /** Forgets a batch that was answered, or given up. */
    finish(batch: Batch): void;
    /** Puts two halves in the place of a batch that is too large. Returns whether it could be cut. */
    split(batch: Batch, now: number): boolean;
    /** Takes in what an earlier page has left, before what is newer. */
    merge(rows: readonly Row[]): void;
    /** Batches that were packed too long ago to be sent again. */
    expired(now: number): Batch[];
    /** Throws everything away. */
    clear(): Promise<void>;
    /** Lets go of everything in memory. It stays in the store for whoever takes it over. */
    release(): void;
}
/** What a batch holds. */
export declare function eventsOf(batch: Batch): EventBody[];
