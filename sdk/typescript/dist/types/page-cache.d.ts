/** The first page of a feed, kept with its ETag: it is not sent again while it holds. */
import type { Clock } from "./clock.js";
import type { Answer } from "./http.js";
import type { FeedPage, KeptPage, Store } from "./storage.js";
export declare class PageCache {
    #private;
    constructor(store: Store, clock: Clock);
    /** The page that is kept for this call, if it is. `name` has everything that decides about the answer. */
    find(name: string): Promise<KeptPage | undefined>;
    /** Whether the page may be shown without asking. A clock that was set back makes no page young again. */
    isFresh(kept: KeptPage): boolean;
    /** The page of an answer, which is kept as `Cache-Control` says. `kept` is the page that a 304 confirms. */
    take(name: string, { status, headers, body }: Answer, kept: KeptPage | undefined): Promise<FeedPage>;
    drop(): Promise<void>;
}
