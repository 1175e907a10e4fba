/** The first page of a feed, kept with its ETag: it is not sent again while it holds. */

import type { Clock } from "./clock.js";
import type { Answer } from "./http.js";
import type { FeedPage, KeptPage, Store } from "./storage.js";

export class PageCache {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The page that is kept for this call, if it is. `name` has everything that decides about the answer. */
  async find(name: string): Promise<KeptPage | undefined> {
    const kept = await this.#store.keptPage();
    return kept?.for === name ? kept : undefined;
  }

  /** Whether the page may be shown without asking. A clock that was set back makes no page young again. */
  isFresh(kept: KeptPage): boolean {
    const age = this.#clock.now() - kept.keptAt;
    return age >= 0 && age < kept.maxAgeMs;
  }

  /** The page of an answer, which is kept as `Cache-Control` says. `kept` is the page that a 304 confirms. */
  async take(name: string, { status, headers, body }: Answer, kept: KeptPage | undefined): Promise<FeedPage> {
    const page = status === 304 && kept ? kept.page : (body as FeedPage);
    const etag = headers.get("ETag") ?? kept?.etag;
    const rules = headers.get("Cache-Control") ?? "no-cache";
    const maxAge = /\bno-cache\b/.test(rules) ? 0 : Number(/\bmax-age=(\d+)/.exec(rules)?.[1] ?? 0);
    const keeps = etag !== undefined && !/\bno-store\b/.test(rules);
    const next = keeps ? { for: name, etag, keptAt: this.#clock.now(), maxAgeMs: maxAge * 1000, page } : undefined;
    await this.#store.keepPage(next);
    return page;
  }

  drop(): Promise<void> {
    return this.#store.keepPage(undefined);
  }
}
