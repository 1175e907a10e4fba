/** Time, as something that tests can replace. */

import { aborted } from "./errors.js";

export interface Clock {
  /** Milliseconds since the epoch, by the device. It may be wrong: the service corrects it. */
  now(): number;
  /** Runs `action` once after `ms`. The function returned cancels it. */
  after(ms: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
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
