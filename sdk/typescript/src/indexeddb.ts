/** The store in a browser: IndexedDB, which survives a page that is reloaded, closed or killed. */

import { FeedError, asFeedError } from "./errors.js";
import type { Row } from "./queue.js";
import { randomId } from "./random-id.js";
import { type KeptPage, type Store, memoryStore, oldestFirst } from "./storage.js";

type OwnedRow = Row & { readonly owner: string };

const QUEUE = "queue";
const PAGES = "pages";
const PATIENCE_MS = 3_000;
/** Nobody waits longer for a page that is kept: the service has it too. */
const SOON_MS = 500;
/** In a row: a database that fails so often is not asked any more. */
const MOST_FAILURES = 3;

/**
 * Several pages of one app share the database. Each row belongs to a page, which holds a Web Lock as long as it lives, so
 * that exactly one page sends an event. Rows whose page holds no lock any more are adopted.
 *
 * Without Web Locks (a page without https) every other page counts as gone. Two pages may then send the same event in two
 * batches; its `eventId` makes it count once.
 */
export class IndexedDbStore implements Store {
  readonly #name: string;
  readonly #onTrouble: (error: FeedError) => void;
  #owner = randomId();
  /** What the database did not take. */
  readonly #rest = memoryStore();
  #lock: Promise<() => void> | undefined;
  #database: Promise<IDBDatabase> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failures = 0;

  constructor(name: string, onTrouble: (error: FeedError) => void) {
    this.#name = name;
    this.#onTrouble = onTrouble;
  }

  write(rows: readonly Row[], deleted: readonly string[]): Promise<void> {
    return (this.#writing = this.#write(rows, deleted));
  }

  async #write(rows: readonly Row[], deleted: readonly string[]): Promise<void> {
    const owner = this.#owner;
    void this.#rest.write([], deleted);
    const stored = await this.#try(QUEUE, "readwrite", (queue) => {
      for (const id of deleted) queue.delete(id);
      for (const row of rows) queue.put({ ...row, owner } satisfies OwnedRow);
      queue.transaction.commit(); // else it would end with a page that is going now
      return true;
    });
    if (!stored) await this.#rest.write(rows, deleted);
  }

  async adopt(): Promise<Row[]> {
    // A page takes its lock before it writes: an owner that was seen, and then holds none, is gone.
    const seen = await this.#rows();
    const alive = await this.#alive();
    const gone = new Set(seen.map((row) => row.owner).filter((owner) => owner !== this.#owner && !alive(owner)));
    const adopted: Row[] = [];
    await this.#try(QUEUE, "readwrite", (queue) => {
      const all = queue.getAll();
      all.onsuccess = () => {
        for (const { owner, ...row } of all.result as OwnedRow[]) {
          if (!gone.has(owner)) continue;
          adopted.push(row);
          queue.put({ ...row, owner: this.#owner });
        }
      };
      return all;
    });
    return oldestFirst([...adopted, ...(await this.#rest.adopt())]);
  }

  async release(): Promise<void> {
    // A page that holds a lock cannot be kept for the back button. What is being written is still ours until it is done.
    const lock = this.#lock;
    this.#lock = undefined;
    this.#owner = randomId();
    await Promise.all([this.#writing, this.#rest.release()]);
    (await lock)?.();
  }

  async keptPage(): Promise<KeptPage | undefined> {
    const found = this.#try(PAGES, "readonly", (pages) => pages.get("first"));
    const asked = await Promise.race([found, new Promise<undefined>((late) => setTimeout(late, SOON_MS))]);
    return asked?.result as KeptPage | undefined;
  }

  async keepPage(page: KeptPage | undefined): Promise<void> {
    await this.#try(PAGES, "readwrite", (pages) => (page ? pages.put(page, "first") : pages.delete("first")));
  }

  async #rows(): Promise<OwnedRow[]> {
    const asked = await this.#try(QUEUE, "readonly", (queue) => queue.getAll());
    return (asked?.result as OwnedRow[] | undefined) ?? [];
  }

  /** Tells whether a page lives. Where nobody knows, all do: what they have waits for another time. */
  async #alive(): Promise<(owner: string) => boolean> {
    try {
      const held = new Set(((await locks()?.query())?.held ?? []).map((lock) => lock.name));
      return (owner) => held.has(`${this.#name} ${owner}`);
    } catch {
      return () => true;
    }
  }

  /** What `act` returns, once its transaction is complete; undefined where the database fails, which is told once. */
  async #try<T>(store: string, mode: IDBTransactionMode, act: (store: IDBObjectStore) => T): Promise<T | undefined> {
    if (this.#failures >= MOST_FAILURES) return undefined;
    try {
      await (this.#lock ??= this.#takeLock());
      const database = await (this.#database ??= this.#open());
      const result = await inTime(complete(database.transaction(store, mode), store, act));
      this.#failures = 0;
      return result;
    } catch (error) {
      this.#database = undefined;
      if (this.#failures++ === 0) this.#onTrouble(asFeedError(error, "storage"));
      return undefined;
    }
  }

  /** Resolves, once the lock is held, to what lets go of it. */
  async #takeLock(): Promise<() => void> {
    return new Promise((held) => {
      const manager = locks();
      if (!manager) return held(() => undefined);
      const life = () => new Promise<void>((release) => held(release));
      // Where locks are not allowed (an opaque origin) the page goes on without one.
      manager.request(`${this.#name} ${this.#owner}`, life).catch(() => held(() => undefined));
    });
  }

  #open(): Promise<IDBDatabase> {
    return inTime(
      new Promise((resolve, reject) => {
        const request = indexedDB.open(this.#name, 1);
        request.onupgradeneeded = () => {
          request.result.createObjectStore(QUEUE, { keyPath: "id" });
          request.result.createObjectStore(PAGES);
        };
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          // Somebody deletes the database, or the browser does: it is opened again when it is needed.
          request.result.onversionchange = () => request.result.close();
          request.result.onclose = () => (this.#database = undefined);
          resolve(request.result);
        };
      }),
    );
  }
}

const locks = (): LockManager | undefined => globalThis.navigator?.locks;

function complete<T>(transaction: IDBTransaction, store: string, act: (store: IDBObjectStore) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const result = act(transaction.objectStore(store));
    transaction.oncomplete = () => resolve(result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

/** Some browsers' databases hang: then they count as broken. */
function inTime<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new FeedError("storage", "The browser's database does not answer.")), PATIENCE_MS);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
