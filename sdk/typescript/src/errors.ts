/** The one kind of error: thrown by calls, and handed to `onError` for what happens in the background. */

/**
 * `code` is stable. It is a code of the API (docs/api.md lists them), or one of the SDK:
 *
 * - `network`: no answer came; `timeout`: none within the time; `offline`: the device says so, nothing was sent
 * - `unreadable`: an answer came from something that is not the service, such as the page of a hotel's network
 * - `token`: the call-back for user tokens failed
 * - `storage`: the browser's database failed; the queue goes on in memory
 * - `aborted`: the signal of the call was used, or the session was closed
 */
export class FeedError extends Error {
  override readonly name = "FeedError";

  constructor(
    readonly code: string,
    message: string,
    /** Status of the answer; 0 where there was none. */
    readonly status = 0,
    /** Quote it when you ask about the error. */
    readonly errorId?: string,
    /** Seconds to wait, where the service said how long. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** Whether the same call may work later, without any change. */
  get retryable(): boolean {
    return AGAIN.has(this.status || this.code) || this.code === "unreadable";
  }
}

const AGAIN = new Set<number | string>([408, 425, 429, 500, 502, 503, 504, "network", "timeout", "offline", "token"]);

export const aborted = (): FeedError => new FeedError("aborted", "The call was aborted.");

/** Whatever was caught, as a `FeedError`. */
export function asFeedError(caught: unknown, code: string): FeedError {
  return caught instanceof FeedError ? caught : new FeedError(code, caught instanceof Error ? caught.message : String(caught));
}
