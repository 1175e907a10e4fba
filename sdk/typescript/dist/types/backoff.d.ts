/** How long to wait after a failure. Pure. */
/**
 * Milliseconds until the next attempt after `failures` in a row (1 and more).
 *
 * `retryAfter` (seconds) is what the service asked for; a random part of a second is added, so that a crowd does not come
 * back at once. Without it the pause is anything from 0 to a bound that doubles each time ("full jitter").
 */
export declare function backOffMs(failures: number, random: () => number, retryAfter?: number): number;
