/** One walk through a feed: pages by cursor, loaded ahead of the viewer, without a repetition. */
import type { components } from "./api-types.js";
import { type Clock } from "./clock.js";
import type { Http, Viewer } from "./http.js";
import type { PageCache } from "./page-cache.js";
import type { FeedPage } from "./storage.js";
/** A video of a page, with what events about it have to quote. */
export type Video = components["schemas"]["FeedVideo"] & {
    readonly feedRequestId: string;
};
/** What a page says beside its videos. */
export type PageInfo = Omit<FeedPage, "items" | "nextCursor">;
/** Each is sent with every call: `country`, `language`, `ageBand`, `platform`. None says who somebody is. */
export type Hints = Readonly<Record<string, string>>;
/** By what videos are chosen: any of the values of a kind, all kinds. At most 20 values. */
export type Filter = Readonly<Partial<Record<"tag" | "category" | "creator" | "playlist" | "series" | "language", string | readonly string[]>>>;
export interface FeedOptions {
    /** A feed that the content team made, by its name. `home` when absent. */
    feed?: string;
    /** Only these videos. */
    filter?: Filter;
    /** Videos in a page, 1 to 50. The tenant's default when absent. */
    limit?: number;
    /** The next page is loaded when so many videos are left. 5 when absent. */
    prefetchWhenLeft?: number;
}
/** Who is looking now. `over` is used when that changes, or what they agreed to does, or the session is closed. */
export interface Era extends Viewer {
    readonly over: AbortSignal;
}
export interface FeedParts {
    readonly http: Http;
    readonly cache: PageCache;
    readonly clock: Clock;
    readonly random: () => number;
    readonly hints: Hints;
    readonly era: () => Era;
}
export declare class Feed {
    #private;
    constructor(parts: FeedParts, options: FeedOptions);
    /** What is loaded so far, in order. */
    get videos(): readonly Video[];
    /** What the newest page says beside its videos: `mode`, `reason`, `freshness` and more. */
    get info(): PageInfo | undefined;
    /** Whether everything there is has been loaded. */
    get ended(): boolean;
    /**
     * The video at a place from 0, to be shown now; undefined where the feed has ended before it.
     *
     * Loads what is needed, and ahead of the viewer what will be. Rejects with `FeedError` when the service cannot be
     * reached after some attempts: show what is loaded, and ask again later. A cursor that has expired is no error: the feed
     * goes on from a new first page, without what it has already.
     */
    at(index: number, options?: {
        signal?: AbortSignal;
    }): Promise<Video | undefined>;
    /** Starts over from a first page, as after a pull to refresh. */
    restart(): void;
}
