/** A session: one user of one app, with feeds, events, consent and what happens to the page. */
import { type Following, type ListedVideos, type Paging, type SimilarPage, Stories } from "./calls.js";
import { type Clock } from "./clock.js";
import { FeedError } from "./errors.js";
import { Events, type About } from "./events.js";
import { Feed, type FeedOptions, type Hints } from "./feed.js";
import { Play } from "./play.js";
import { type Store } from "./storage.js";
import { type UserToken } from "./tokens.js";
import { type Dropped, type Rejected } from "./upload.js";
export interface SessionOptions {
    /** Where the service is, such as `https://feed.example`. */
    baseUrl: string;
    tenantId: string;
    /** A key of scope `sdk`. */
    apiKey: string;
    /** The user as 64 lower-case hex digits, computed by your backend (docs/api.md#the-user). Never the id itself. */
    user: string;
    /** Whether the user agreed to personalization. True when absent. */
    personalized?: boolean;
    /** What is known about the viewer, sent with every page that is asked for. */
    hints?: Hints;
    /** Gets a token from your backend, for tenants that require one. Called again when it has expired. */
    userToken?: UserToken;
    /** Events of which the service said no, for good. */
    onRejected?: (rejected: Rejected[]) => void;
    /** Events that were given up unsent. */
    onDropped?: (dropped: Dropped) => void;
    /** What goes wrong in the background. Nothing is lost by a `retryable` error. */
    onError?: (error: FeedError) => void;
    /** How many events may wait, 2000 when absent. The oldest impressions go first. */
    maxQueued?: number;
    /** In place of the browser's `fetch`. */
    fetch?: typeof fetch;
    /** In place of IndexedDB, or of memory where there is none. */
    storage?: Store;
    /** In place of the device's clock and timers. */
    clock?: Clock;
    /** Numbers from 0 to 1, for the pauses between attempts. */
    random?: () => number;
    /** Whether the device knows that it has no network. */
    isOffline?: () => boolean;
}
/** Starts a session. What an earlier page could not send is sent now. Throws for a user that is no hash. */
export declare function startSession(options: SessionOptions): Session;
export declare class Session {
    #private;
    /** Reports what happens to videos. Nothing waits for the network. */
    readonly events: Events;
    /** What people post for a day. */
    readonly stories: Stories;
    constructor(options: SessionOptions);
    /** A walk through the feed of the session's user. */
    feed(options?: FeedOptions): Feed;
    /** A page of one of the user's lists. Needs the user's token. */
    list(name: "saved" | "liked" | "continue", options?: Paging): Promise<ListedVideos>;
    /** A page of what the user follows. Needs the user's token. */
    following(options?: Paging & {
        kind?: "creator" | "category" | "series" | "person";
    }): Promise<Following>;
    /** Videos like a video. */
    similar(video: {
        videoId: string;
    }, limit?: number): Promise<SimilarPage>;
    /**
     * A play of a video: its start, how long it has played so far, stalls, failures and its end. With `media`, the element that
     * plays it, only `end` is left to call, when the viewer goes on.
     */
    play(video: About, media?: HTMLMediaElement): Play;
    get user(): string;
    get personalized(): boolean;
    /** How many events wait to be sent. */
    get queued(): number;
    /**
     * Says whether the user agrees to personalization. From now on feeds and events carry it; feeds forget what was loaded and
     * not shown yet. Events of before keep the consent of their moment.
     */
    setPersonalized(personalized: boolean): void;
    /** Somebody else signed in, or out. Events of before stay those of their user; feeds begin anew. */
    setUser(user: string, personalized?: boolean): void;
    /**
     * Sends all that waits, and resolves when the service has it. Rejects with `FeedError` where that does not work now; it is
     * tried again by itself, so nothing need be done.
     */
    flush(): Promise<void>;
    /** Tries again after the service refused a user or a key (401, 403), with a new token. */
    resume(): void;
    /** Throws away what waits and the page that is kept, as after an erasure. */
    discard(): Promise<void>;
    /** Ends the session. What waits stays in the browser's storage for the next one; what is reported later is not kept. */
    close(): Promise<void>;
}
