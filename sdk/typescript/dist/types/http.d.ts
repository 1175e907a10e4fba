/** One call to the service: headers, time-out, a new user token where the old one has expired, typed errors. */
import type { Clock, ClockCheck } from "./clock.js";
import type { Tokens } from "./tokens.js";
/** Whose call it is, and whether that user agreed to personalization. */
export interface Viewer {
    readonly user: string;
    readonly personalized: boolean;
}
export interface Call {
    readonly path: string;
    readonly viewer?: Viewer;
    readonly headers?: Record<string, string>;
    /** Without it the call is a POST where it has a body, else a GET. */
    readonly method?: string;
    readonly body?: string;
    readonly signal?: AbortSignal;
}
/** `body` is what the JSON says; undefined for a 304 and a 204. */
export interface Answer {
    readonly status: number;
    readonly headers: Headers;
    readonly body: unknown;
}
export interface Service {
    readonly baseUrl: string;
    readonly tenantId: string;
    readonly apiKey: string;
    readonly fetch: typeof fetch;
}
export declare class Http {
    #private;
    constructor(service: Service, tokens: Tokens, clock: Clock, check: ClockCheck);
    /** The answer of one attempt. Rejects with `FeedError`. Repeats the call once where the user's token has expired. */
    send(call: Call): Promise<Answer>;
}
