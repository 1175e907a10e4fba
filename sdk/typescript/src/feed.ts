/** One walk through a feed: pages by cursor, loaded ahead of the viewer, without a repetition. */

import type { components } from "./api-types.js";
import { backOffMs } from "./backoff.js";
import { type Clock, unlessAborted, wait } from "./clock.js";
import { FeedError, aborted, asFeedError } from "./errors.js";
import type { Answer, Http, Viewer } from "./http.js";
import type { PageCache } from "./page-cache.js";
import type { FeedPage } from "./storage.js";

/** A video of a page, with what events about it have to quote. */
export type Video = components["schemas"]["FeedVideo"] & { readonly feedRequestId: string };
/** What a page says beside its videos. */
export type PageInfo = Omit<FeedPage, "items" | "nextCursor">;

/** Each is sent with every call: `country`, `language`, `ageBand`, `platform`. None says who somebody is. */
export type Hints = Readonly<Record<string, string>>;

/** By what videos are chosen: any of the values of a kind, all kinds. At most 20 values. */
export type Filter = Readonly<
  Partial<Record<"tag" | "category" | "creator" | "playlist" | "series" | "language", string | readonly string[]>>
>;

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

const ATTEMPTS = 4;
const MOST_WAIT_MS = 10_000;
const STARTS_AGAIN = new Set(["invalid_cursor", "cursor_expired"]);

export class Feed {
  readonly #parts: FeedParts;
  readonly #query: URLSearchParams;
  readonly #prefetchWhenLeft: number;
  #era: Era;
  #videos: Video[] = [];
  #ids = new Set<string>();
  #info: PageInfo | undefined;
  #cursor: string | null | undefined;
  #shown = -1;
  #loading: Promise<void> | undefined;

  constructor(parts: FeedParts, options: FeedOptions) {
    this.#parts = parts;
    const { limit, feed, filter = {} } = options;
    const query = (this.#query = new URLSearchParams(parts.hints));
    if (limit !== undefined) query.set("limit", String(limit));
    if (feed) query.set("feed", feed);
    for (const [kind, values] of Object.entries(filter))
      for (const value of [values].flat()) query.append(`filter.${kind}`, value);
    this.#prefetchWhenLeft = options.prefetchWhenLeft ?? 5;
    this.#era = parts.era();
  }

  /** What is loaded so far, in order. */
  get videos(): readonly Video[] {
    this.#followViewer();
    return this.#videos;
  }

  /** What the newest page says beside its videos: `mode`, `reason`, `freshness` and more. */
  get info(): PageInfo | undefined {
    return this.#info;
  }

  /** Whether everything there is has been loaded. */
  get ended(): boolean {
    return this.#cursor === null;
  }

  /**
   * The video at a place from 0, to be shown now; undefined where the feed has ended before it.
   *
   * Loads what is needed, and ahead of the viewer what will be. Rejects with `FeedError` when the service cannot be
   * reached after some attempts: show what is loaded, and ask again later. A cursor that has expired is no error: the feed
   * goes on from a new first page, without what it has already.
   */
  async at(index: number, options: { signal?: AbortSignal } = {}): Promise<Video | undefined> {
    this.#followViewer();
    while (index >= this.#videos.length && !this.ended) {
      try {
        await unlessAborted(this.#load(), options.signal);
      } catch (error) {
        if (!this.#followViewer()) throw error; // else it was loading for the viewer of before
      }
    }
    const video = this.#videos[index];
    if (!video) return undefined;
    this.#shown = Math.max(this.#shown, index);
    const left = this.#videos.length - 1 - index;
    // A failure matters only when the viewer gets there, and then it is tried again.
    if (left <= this.#prefetchWhenLeft && !this.ended) this.#load().catch(() => undefined);
    return video;
  }

  /** Starts over from a first page, as after a pull to refresh. */
  restart(): void {
    this.#renew(0);
  }

  /** After a change of user nothing is left; after one of consent what was shown, so that it does not come again. */
  #followViewer(): boolean {
    const era = this.#parts.era();
    if (era === this.#era) return false;
    const sameUser = era.user === this.#era.user;
    this.#era = era;
    this.#renew(sameUser ? this.#shown + 1 : 0);
    return true;
  }

  #renew(keep: number): void {
    this.#videos = this.#videos.slice(0, keep);
    this.#ids = new Set(this.#videos.map((video) => video.videoId));
    this.#shown = keep - 1;
    this.#cursor = this.#loading = undefined;
  }

  /** Loads the next page, once however many ask. */
  #load(): Promise<void> {
    if (this.#loading) return this.#loading;
    const loading = this.#next(this.#era).then((page) => {
      if (this.#loading !== loading) return; // for a user, or a consent, of before
      this.#loading = undefined;
      this.#add(page);
    });
    this.#loading = loading;
    loading.catch(() => {
      if (this.#loading === loading) this.#loading = undefined;
    });
    return loading;
  }

  #add({ items, nextCursor, ...info }: FeedPage): void {
    for (const item of items) {
      if (this.#ids.has(item.videoId)) continue; // of a page before the cursor expired
      this.#ids.add(item.videoId);
      this.#videos.push({ ...item, feedRequestId: info.feedRequestId });
    }
    this.#info = info;
    this.#cursor = nextCursor;
  }

  async #next(era: Era): Promise<FeedPage> {
    const cursor = this.#cursor;
    if (typeof cursor !== "string") return this.#first(era);
    try {
      return (await this.#ask(era, this.#path(cursor))).body as FeedPage;
    } catch (error) {
      if (!(error instanceof FeedError) || !STARTS_AGAIN.has(error.code)) throw error;
      await this.#parts.cache.drop(); // its cursor is no younger
      return this.#first(era);
    }
  }

  /** The first page: the one that is kept while it holds. */
  async #first(era: Era): Promise<FeedPage> {
    const { cache } = this.#parts;
    const path = this.#path();
    const name = `${path} ${era.user} ${era.personalized}`;
    const kept = await cache.find(name);
    if (kept && cache.isFresh(kept)) return kept.page;
    const answer = await this.#ask(era, path, kept?.etag);
    if (era.over.aborted) throw aborted(); // nothing of a user who is gone is kept
    return cache.take(name, answer, kept);
  }

  #path(cursor?: string): string {
    const query = new URLSearchParams(this.#query);
    if (cursor !== undefined) query.set("cursor", cursor);
    return `/v1/feed?${query}`;
  }

  /** Asks some times, waiting as told; not for longer than somebody looks at an empty screen. */
  async #ask({ over, ...viewer }: Era, path: string, etag?: string): Promise<Answer> {
    const { http, clock, random } = this.#parts;
    for (let failures = 1; ; failures++) {
      try {
        return await http.send({ path, viewer, signal: over, headers: etag ? { "If-None-Match": etag } : {} });
      } catch (caught) {
        const error = asFeedError(caught, "network");
        const pause = backOffMs(failures, random, error.retryAfter);
        if (!error.retryable || failures >= ATTEMPTS || pause > MOST_WAIT_MS) throw error;
        await wait(clock, pause, over);
      }
    }
  }
}
