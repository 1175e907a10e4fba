/** Where rows of the queue and the kept page survive the page: the port, and memory as its simplest form. */

import type { components } from "./api-types.js";
import type { Row } from "./queue.js";

export type FeedPage = components["schemas"]["FeedPage"];

/** A first page with its ETag. `for` names whom and what it was made for; it holds for `maxAgeMs` without asking. */
export interface KeptPage {
  readonly for: string;
  readonly etag: string;
  readonly keptAt: number;
  readonly maxAgeMs: number;
  readonly page: FeedPage;
}

/**
 * No method rejects: a store that fails goes on in memory. Writes happen in the order of the calls, and what is asked for
 * in one call happens whole or not at all.
 */
export interface Store {
  /** Stores some rows and deletes others. Resolves when that will survive the page. */
  write(rows: readonly Row[], deleted: readonly string[]): Promise<void>;
  /** Takes over the rows of pages that are gone, and those this page has released. Oldest first. */
  adopt(): Promise<Row[]>;
  /** Leaves the rows of this page to whoever adopts them. Resolves when they are free. */
  release(): Promise<void>;
  keptPage(): Promise<KeptPage | undefined>;
  keepPage(page: KeptPage | undefined): Promise<void>;
}

/** A store that lives as long as the page or the process. */
export function memoryStore(): Store {
  const kept = new Map<string, Row>();
  let released: Row[] = [];
  let page: KeptPage | undefined;
  return {
    async write(rows, deleted) {
      for (const id of deleted) kept.delete(id);
      for (const row of rows) kept.set(row.id, row);
    },
    async adopt() {
      const adopted = released.filter((row) => kept.has(row.id));
      released = [];
      return oldestFirst(adopted);
    },
    async release() {
      released = [...kept.values()];
    },
    keptPage: async () => page,
    keepPage: async (next) => {
      page = next;
    },
  };
}

/** Rows by when they happened; what happened in the same millisecond stays as it is. */
export function oldestFirst<R extends Row>(rows: R[]): R[] {
  return rows.sort((a, b) => a.at - b.at);
}
