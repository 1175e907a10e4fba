/** How long to wait after a failure. Pure. */

const FIRST_MS = 500;
const MOST_MS = 30_000;

/**
 * Milliseconds until the next attempt after `failures` in a row (1 and more).
 *
 * `retryAfter` (seconds) is what the service asked for; a random part of a second is added, so that a crowd does not come
 * back at once. Without it the pause is anything from 0 to a bound that doubles each time ("full jitter").
 */
export function backOffMs(failures: number, random: () => number, retryAfter?: number): number {
  if (retryAfter !== undefined) return (retryAfter + random()) * 1000;
  return random() * Math.min(MOST_MS, FIRST_MS * 2 ** (failures - 1));
}
