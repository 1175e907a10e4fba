/** The store in a browser: IndexedDB, which survives a page that is reloaded, closed or killed. */
import { FeedError } from "./errors.js";
import type { Row } from "./queue.js";
import { type KeptPage, type Store } from "./storage.js";
/**
 * Several pages of one app share the database. Each row belongs to a page, which holds a Web Lock as long as it lives, so
 * that exactly one page sends an event. Rows whose page holds no lock any more are adopted.
 *
 * Without Web Locks (a page without https) every other page counts as gone. Two pages may then send the same event in two
 * batches; its `eventId` makes it count once.
 */
export declare class IndexedDbStore implements Store {
    #private;
    constructor(name: string, onTrouble: (error: FeedError) => void);
    write(rows: readonly Row[], deleted: readonly string[]): Promise<void>;
    adopt(): Promise<Row[]>;
    release(): Promise<void>;
    keptPage(): Promise<KeptPage | undefined>;
    keepPage(page: KeptPage | undefined): Promise<void>;
}
