// What the tests share: tenants of the real service, a network that fails as told, a clock that is moved by hand.
import { afterAll, inject } from "vitest";
import type { Dropped, FeedError, Rejected, Session, SessionOptions } from "../src/index.js";
import { startSession } from "../src/index.js";
import type { Clock } from "../src/clock.js";

const service = inject("service");

/** Asks the service's test server to do something: `tests/sdk/server.py` says what there is. */
export async function control<T>(name: string, told: object = {}): Promise<T> {
  const response = await fetch(`${service.control}/${name}`, { method: "POST", body: JSON.stringify(told) });
  if (!response.ok) throw new Error(`${name}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

export interface Tenant {
  tenantId: string;
  apiKey: string;
  user: string;
}

/** A line of the archive of events. */
export interface Archived {
  type: string;
  videoId: string;
  user: string | null;
  timestamp: number;
  watchTimeMs: number | null;
  request: object | null;
  session: string | null;
  play: { startedAt: number } | null;
}

/** What the service knows of a user. */
export interface Signals {
  events: number;
  totalViewsLast7d: number;
  totalWatchTimeLast7dMs: number;
}

export const newTenant = (told: { videos?: number; configuration?: object } = {}): Promise<Tenant> => control("tenant", told);
export const newUser = (): Promise<string> => control("user");
export const archived = ({ tenantId }: Tenant): Promise<Archived[]> => control("archive", { tenantId });
export const signals = ({ tenantId, user }: Tenant): Promise<Signals | null> => control("signals", { tenantId, user });
let serviceAhead = 0;
/** Lets time pass at the service. Returns how many milliseconds its clock is ahead of ours. */
export async function passAtService(seconds: number): Promise<number> {
  serviceAhead = (await control<number>("advance", { seconds })) - Date.now();
  return serviceAhead;
}

/** A clock whose timers run when a test moves it. */
export class ManualClock implements Clock {
  #ahead = 0;
  #setBy = 0;
  #timers: { due: number; action: () => void }[] = [];

  now = (): number => this.elapsed() + this.#setBy;

  elapsed = (): number => Date.now() + this.#ahead;

  after = (ms: number, action: () => void): (() => void) => {
    const timer = { due: this.elapsed() + ms, action };
    this.#timers.push(timer);
    return () => this.#forget(timer);
  };

  /** Sets the clock without any time passing. */
  set(ms: number): void {
    this.#setBy += ms;
  }

  /** Lets time pass: timers run in their order. */
  async advance(ms: number): Promise<void> {
    const end = this.elapsed() + ms;
    for (;;) {
      const next = this.#timers.filter((timer) => timer.due <= end).sort((a, b) => a.due - b.due)[0];
      if (!next) break;
      this.#ahead += Math.max(0, next.due - this.elapsed());
      this.#forget(next);
      next.action();
      await settled(1);
    }
    this.#ahead += Math.max(0, end - this.elapsed());
  }

  #forget(timer: object): void {
    this.#timers = this.#timers.filter((each) => each !== timer);
  }
}

/** Lets promises that are ready go on, and what is asked of the service be answered. */
export const settled = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something holds. The test's time-out ends it. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await settled();
}

export interface Request {
  url: URL;
  headers: Headers;
  body: string | undefined;
  keepalive: boolean;
}

type Failure = (request: Request, send: () => Promise<Response>) => Promise<Response>;

/** The real network with what a test puts in between. It keeps every request that was made. */
export class Network {
  readonly requests: Request[] = [];
  inFlight = 0;
  mostInFlight = 0;
  failure: Failure | undefined;

  readonly fetch: typeof fetch = async (input, init = {}) => {
    const { body, keepalive = false } = init;
    const headers = new Headers(init.headers);
    const request = { url: new URL(String(input)), headers, body: typeof body === "string" ? body : undefined, keepalive };
    this.requests.push(request);
    const upload = request.url.pathname.endsWith("/batch") ? 1 : 0;
    this.inFlight += upload;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      const send = async (): Promise<Response> => dated(await fetch(input, { ...init, keepalive: false }));
      return await (this.failure ? this.failure(request, send) : send());
    } finally {
      this.inFlight -= upload;
    }
  };

  /** The uploads so far. */
  get uploads(): Request[] {
    return this.requests.filter((each) => each.url.pathname === "/v1/events/batch");
  }

  get pages(): Request[] {
    return this.requests.filter((each) => each.url.pathname === "/v1/feed");
  }
}

/** The answer with the time of the service's clock, which the tests move, in place of the machine's. */
function dated(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set("Date", new Date(Date.now() + serviceAhead).toUTCString());
  const body = response.status === 304 ? null : response.body;
  return new Response(body, { status: response.status, headers });
}

/** No network at all. */
export const unreachable: Failure = () => Promise.reject(new TypeError("Failed to fetch"));

/** Once; what comes after is as before. */
export function once(network: Network, failure: Failure): void {
  network.failure = (request, send) => {
    network.failure = undefined;
    return failure(request, send);
  };
}

/** An answer that something before the service gives, or the service on a bad day. */
export const answer = (status: number, body: unknown = {}, headers: Record<string, string> = {}): Response =>
  new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });

export interface App {
  session: Session;
  network: Network;
  clock: ManualClock;
  errors: FeedError[];
  rejected: Rejected[];
  dropped: Dropped[];
}

const started: Session[] = [];
afterAll(async () => {
  await Promise.all(started.map((session) => session.close()));
});

/** An app with a session of its own. */
export function startApp(tenant: Tenant, options: Partial<SessionOptions> = {}): App {
  const network = new Network();
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock();
  const errors: FeedError[] = [];
  const rejected: Rejected[] = [];
  const dropped: Dropped[] = [];
  const session = startSession({
    baseUrl: service.url,
    ...tenant,
    fetch: network.fetch,
    clock,
    random: () => 0.5,
    isOffline: () => false,
    onError: (error) => errors.push(error),
    onRejected: (more) => rejected.push(...more),
    onDropped: (drop) => dropped.push(drop),
    ...options,
  });
  started.push(session);
  return { session, network, clock, errors, rejected, dropped };
}

/** The error of a call that must fail. */
export async function failing(call: Promise<unknown>): Promise<FeedError> {
  const error = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (!error) throw new Error("The call was expected to fail.");
  return error as FeedError;
}
