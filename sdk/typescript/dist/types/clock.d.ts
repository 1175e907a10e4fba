/** Time, as something that tests can replace. */
export interface Clock {
    /** Milliseconds since the epoch, by the device. It may be wrong: the service corrects it. */
    now(): number;
    /** Milliseconds that have passed since some moment, whatever the clock is set to. */
    elapsed(): number;
    /** Runs `action` once after `ms`. The function returned cancels it. */
    after(ms: number, action: () => void): () => void;
}
export declare const systemClock: Clock;
/** Waits; rejects with `aborted` as soon as the signal is used. */
export declare function wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void>;
/** The promise, or a rejection with `aborted` as soon as the signal is used. What the promise stands for goes on. */
export declare function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T>;
/** Holds the device's clock against the `Date` of the service's answers. */
export declare class ClockCheck {
    #private;
    constructor(clock: Clock);
    /** Takes in the `Date` of an answer that has just come. Pages of another origin may not be allowed to read it. */
    note(date: string | null): void;
    /** Whether the clock is known to be right now, also if it was set since the last answer. */
    get isRight(): boolean;
}
