/** Sends the queue: one batch after another, each until it is answered. */
import type { Clock } from "./clock.js";
import type { BatchLimits } from "./config.js";
import { FeedError } from "./errors.js";
import type { EventBody } from "./events.js";
import type { Http } from "./http.js";
import { type Queue } from "./queue.js";
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
export declare class Uploader {
    #private;
    constructor(parts: UploadParts);
    /** Sends when a batch is full, and otherwise when it is time. */
    soon(): void;
    /**
     * Sends all that waits. Rejects with `FeedError` when that cannot be done now; what is left is sent later all the same.
     * There is never more than one upload at a time: who asks meanwhile gets the same promise.
     */
    flush(): Promise<void>;
    /** Sends at once what fits into one batch: the page may be gone in a moment. */
    hide(): void;
    /** Tries at once, but for what the service told us to wait for. */
    wake(): void;
    /** Tries again for users who were refused, after credentials have changed. */
    resume(): void;
    close(): void;
}
