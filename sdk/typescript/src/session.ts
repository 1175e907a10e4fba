/** A session: one user of one app, with feeds, events, consent and what happens to the page. */

import { type Following, type ListedVideos, type Paging, type SimilarPage, Stories, asker, similar } from "./calls.js";
import { type Clock, ClockCheck, systemClock } from "./clock.js";
import { ServiceConfig } from "./config.js";
import { FeedError } from "./errors.js";
import { type EventBody, Events, type About, eventBody } from "./events.js";
import { type Era, Feed, type FeedOptions, type Hints } from "./feed.js";
import { Http, type Viewer } from "./http.js";
import { IndexedDbStore } from "./indexeddb.js";
import { isOffline, listen } from "./lifecycle.js";
import { PageCache } from "./page-cache.js";
import { Play } from "./play.js";
import { Queue } from "./queue.js";
import { randomId } from "./random-id.js";
import { type Store, memoryStore } from "./storage.js";
import { Tokens, type UserToken } from "./tokens.js";
import { type Dropped, type Rejected, Uploader } from "./upload.js";

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

const MOST_QUEUED = 2_000;

/** Starts a session. What an earlier page could not send is sent now. Throws for a user that is no hash. */
export function startSession(options: SessionOptions): Session {
  return new Session(options);
}

export class Session {
  /** Reports what happens to videos. Nothing waits for the network. */
  readonly events: Events;
  /** What people post for a day. */
  readonly stories: Stories;
  readonly #options: SessionOptions;
  readonly #clock: Clock;
  readonly #tokens: Tokens;
  readonly #http: Http;
  readonly #store: Store;
  readonly #cache: PageCache;
  readonly #ask: ReturnType<typeof asker>;
  readonly #config: ServiceConfig;
  readonly #queue: Queue;
  readonly #uploader: Uploader;
  readonly #closed = new AbortController();
  readonly #stopListening: () => void;
  readonly #plays = new Set<Play>();
  #id = sessionId();
  #viewer: Viewer;
  #eraOver = new AbortController();
  #era: Era;
  #adopted: Promise<void>;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#viewer = { user: checked(options.user), personalized: options.personalized ?? true };
    this.#era = { ...this.#viewer, over: this.#eraOver.signal };
    const baseUrl = options.baseUrl.replace(/\/+$/, "");
    const { tenantId, apiKey } = options;
    this.#tokens = new Tokens(options.userToken);
    const send = options.fetch ?? ((input, init) => fetch(input, init));
    const check = new ClockCheck(this.#clock);
    this.#http = new Http({ baseUrl, tenantId, apiKey, fetch: send }, this.#tokens, this.#clock, check);
    this.#ask = asker(this.#http, () => this.#viewer);
    this.stories = new Stories(this.#ask);
    this.#store = options.storage ?? this.#defaultStore(`video-feed ${baseUrl} ${tenantId}`);
    this.#cache = new PageCache(this.#store, this.#clock);
    this.#config = new ServiceConfig(this.#http, this.#clock);
    this.#queue = new Queue(this.#store, this.#config.limits, options.maxQueued ?? MOST_QUEUED, check);
    this.#uploader = new Uploader({
      queue: this.#queue,
      http: this.#http,
      limits: this.#config.limits,
      clock: this.#clock,
      random: this.#random,
      isOffline: options.isOffline ?? isOffline,
      ready: () => this.#adopted,
      closed: this.#closed.signal,
      onRejected: (rejected) => this.#tell(options.onRejected, rejected),
      onDropped: (dropped) => this.#tell(options.onDropped, dropped),
      onError: (error) => this.#tell(options.onError, error),
    });
    this.events = new Events((type, video, fields) => this.#record(type, video, fields));
    this.#adopted = this.#adopt();
    this.#stopListening = this.#followPage();
    void this.#config.refresh();
  }

  /** A walk through the feed of the session's user. */
  feed(options: FeedOptions = {}): Feed {
    const { hints = {} } = this.#options;
    const parts = { http: this.#http, cache: this.#cache, clock: this.#clock, random: this.#random, hints };
    return new Feed({ ...parts, era: () => this.#era }, options);
  }

  /** A page of one of the user's lists. Needs the user's token. */
  list(name: "saved" | "liked" | "continue", options?: Paging): Promise<ListedVideos> {
    return this.#ask(`me/${name}`, options);
  }

  /** A page of what the user follows. Needs the user's token. */
  following(options?: Paging & { kind?: "creator" | "category" | "series" | "person" }): Promise<Following> {
    return this.#ask("me/following", options);
  }

  /** Videos like a video. */
  similar(video: { videoId: string }, limit?: number): Promise<SimilarPage> {
    return similar(this.#ask, video, limit);
  }

  /**
   * A play of a video: its start, how long it has played so far, stalls, failures and its end. With `media`, the element that
   * plays it, only `end` is left to call, when the viewer goes on.
   */
  play(video: About, media?: HTMLMediaElement): Play {
    const parts = { report: this.events.report, clock: this.#clock, active: this.#plays };
    return new Play(video, { ...parts, countsHeartbeats: () => this.personalized }, media);
  }

  get user(): string {
    return this.#viewer.user;
  }

  get personalized(): boolean {
    return this.#viewer.personalized;
  }

  /** How many events wait to be sent. */
  get queued(): number {
    return this.#queue.size;
  }

  /**
   * Says whether the user agrees to personalization. From now on feeds and events carry it; feeds forget what was loaded and
   * not shown yet. Events of before keep the consent of their moment.
   */
  setPersonalized(personalized: boolean): void {
    if (personalized !== this.personalized) this.#begin({ ...this.#viewer, personalized });
  }

  /** Somebody else signed in, or out. Events of before stay those of their user; feeds begin anew. */
  setUser(user: string, personalized = true): void {
    this.#begin({ user: checked(user), personalized }, sessionId());
    this.#uploader.resume();
  }

  /**
   * Sends all that waits, and resolves when the service has it. Rejects with `FeedError` where that does not work now; it is
   * tried again by itself, so nothing need be done.
   */
  async flush(): Promise<void> {
    await this.#uploader.flush();
  }

  /** Tries again after the service refused a user or a key (401, 403), with a new token. */
  resume(): void {
    this.#tokens.forget();
    this.#uploader.resume();
  }

  /** Throws away what waits and the page that is kept, as after an erasure. */
  async discard(): Promise<void> {
    await this.#adopted;
    await Promise.all([this.#queue.clear(), this.#cache.drop()]);
  }

  /** Ends the session. What waits stays in the browser's storage for the next one; what is reported later is not kept. */
  async close(): Promise<void> {
    for (const play of this.#plays) {
      play.heartbeat();
      play.paused();
    }
    this.#closed.abort();
    this.#eraOver.abort();
    this.#stopListening();
    this.#uploader.close();
    this.#queue.release();
    await this.#store.release();
  }

  readonly #random = (): number => (this.#options.random ?? Math.random)();

  #defaultStore(name: string): Store {
    if (typeof indexedDB === "undefined") return memoryStore();
    return new IndexedDbStore(name, (error) => this.#tell(this.#options.onError, error));
  }

  #begin(viewer: Viewer, id = this.#id): void {
    const goOn = [...this.#plays].filter((play) => play.cut());
    this.#viewer = viewer;
    this.#id = id;
    this.#eraOver.abort();
    this.#eraOver = new AbortController();
    this.#era = { ...viewer, over: this.#eraOver.signal };
    void this.#cache.drop();
    for (const play of goOn) play.playing();
  }

  #record(type: string, video: About, fields: Partial<EventBody> = {}): void {
    if (this.#closed.signal.aborted) return;
    void this.#config.refresh();
    const id = randomId();
    const at = this.#clock.now();
    const text = JSON.stringify(eventBody(type, video, at, id, { sessionId: this.#id, ...fields }));
    const play = fields.playId && { play: fields.playId };
    const dropped = this.#queue.add({ kind: "event", id, at, type, text, ...play, ...this.#viewer });
    if (dropped.length) this.#tell(this.#options.onDropped, { count: dropped.length, reason: "queue_full" });
    this.#uploader.soon();
  }

  #hide(): void {
    for (const play of this.#plays) play.heartbeat();
    this.#uploader.hide();
  }

  #takeOver(): void {
    this.#adopted = this.#adopt();
  }

  async #adopt(): Promise<void> {
    this.#queue.merge(await this.#store.adopt());
    if (this.#queue.size) this.#uploader.soon();
  }

  #followPage(): () => void {
    return listen({
      onHidden: () => this.#hide(),
      onVisible: () => this.#takeOver(),
      onGone: () => {
        this.#hide();
        this.#queue.release();
        void this.#store.release();
      },
      onBack: () => this.#takeOver(),
      onOnline: () => this.#uploader.wake(),
    });
  }

  /** An app's call-back must not stop what goes on here; its error is the app's, and shows as one. */
  #tell<T>(listener: ((told: T) => void) | undefined, told: T): void {
    if (listener) queueMicrotask(() => listener(told));
  }
}

const sessionId = (): string => randomId().slice(0, 16);

function checked(user: string): string {
  if (!/^[0-9a-f]{64}$/.test(user)) {
    throw new FeedError("invalid_user", "The user must be 64 lower-case hex digits, as your backend hashes it. Never send the id.");
  }
  return user;
}
