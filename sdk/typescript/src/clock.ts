/** Time, as something that tests can replace. */

import { aborted } from "./errors.js";

export interface Clock {
  /** Milliseconds since the epoch, by the device. It may be wrong: the service corrects it. */
  now(): number;
  /** Milliseconds that have passed since some moment, whatever the clock is set to. */
  elapsed(): number;
  /** Runs `action` once after `ms`. The function returned cancels it. */
  after(ms: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(ms, action) {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
};

/** Waits; rejects with `aborted` as soon as the signal is used. */
export function wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return unlessAborted(new Promise((resolve) => clock.after(ms, resolve)), signal);
}

/** The promise, or a rejection with `aborted` as soon as the signal is used. What the promise stands for goes on. */
export async function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise;
  let stop = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(aborted());
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Half of what the service takes for right: its answers were under way for a while. */
const TOLERANCE_MS = 30_000;

/** Holds the device's clock against the `Date` of the service's answers. */
export class ClockCheck {
  readonly #clock: Clock;
  #serviceAhead: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes in the `Date` of an answer that has just come. Pages of another origin may not be allowed to read it. */
  note(date: string | null): void {
    const at = Date.parse(date ?? "");
    if (at) this.#serviceAhead = at - this.#clock.elapsed();
  }

  /** Whether the clock is known to be right now, also if it was set since the last answer. */
  get isRight(): boolean {
    const ahead = this.#clock.now() - this.#clock.elapsed();
    return Math.abs(ahead - (this.#serviceAhead ?? NaN)) < TOLERANCE_MS;
  }
}
