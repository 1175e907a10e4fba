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
export declare class FeedError extends Error {
    readonly code: string;
    /** Status of the answer; 0 where there was none. */
    readonly status: number;
    /** Quote it when you ask about the error. */
    readonly errorId?: string | undefined;
    /** Seconds to wait, where the service said how long. */
    readonly retryAfter?: number | undefined;
    readonly name = "FeedError";
    constructor(code: string, message: string, 
    /** Status of the answer; 0 where there was none. */
    status?: number, 
    /** Quote it when you ask about the error. */
    errorId?: string | undefined, 
    /** Seconds to wait, where the service said how long. */
    retryAfter?: number | undefined);
    /** Whether the same call may work later, without any change. */
    get retryable(): boolean;
}
export declare const aborted: () => FeedError;
/** Whatever was caught, as a `FeedError`. */
export declare function asFeedError(caught: unknown, code: string): FeedError;
