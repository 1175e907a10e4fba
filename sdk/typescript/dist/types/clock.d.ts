/** Time, as something that tests can replace. */
export interface Clock {
    /** Milliseconds since the epoch, by the device. It may be wrong: the service corrects it. */
    now(): number;
    /** Runs `action` once after `ms`. The function returned cancels it. */
    after(ms: number, action: () => void): () => void;
}
export declare const systemClock: Clock;
/** Waits; rejects with `aborted` as soon as the signal is used. */
export declare function wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void>;
/** The promise, or a rejection with `aborted` as soon as the signal is used. What the promise stands for goes on. */
export declare function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T>;
