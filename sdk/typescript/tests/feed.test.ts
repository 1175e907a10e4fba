// The feed against the real service: pages, loading ahead, the page that is kept, cursors, consent, users.
import { expect, test } from "vitest";
import { memoryStore } from "../src/index.js";
import type { Feed, Video } from "../src/index.js";
import { ManualClock, answer, control, failing, newTenant, newUser, once, passAtService, settled, startApp, unreachable, until } from "./harness.js";

async function walk(feed: Feed, count = Infinity): Promise<Video[]> {
  const seen: Video[] = [];
  for (let index = 0; index < count; index++) {
    const video = await feed.at(index);
    if (!video) break;
    seen.push(video);
  }
  return seen;
}

/** Lets the pauses between attempts, or their time-outs, pass. */
async function retried(clock: ManualClock, times = 4): Promise<void> {
  for (let attempt = 0; attempt < times; attempt++) {
    await settled();
    await clock.advance(10_000);
  }
  await settled();
}

const ids = (videos: readonly Video[]): string[] => videos.map((video) => video.videoId);

test("a walk shows every video once, in order, until the feed ends", async () => {
  const app = startApp(await newTenant({ videos: 25 }));
  const feed = app.session.feed({ limit: 10 });
  const seen = await walk(feed);
  expect(new Set(ids(seen)).size).toBe(25);
  expect(seen.map((video) => video.rank)).toEqual([...Array(25).keys()]);
  expect(feed.ended).toBe(true);
  expect(feed.info?.mode).toBe("fallback");
});

test("the next page is loaded before the last videos, once, and not earlier", async () => {
  const app = startApp(await newTenant({ videos: 40 }));
  const feed = app.session.feed({ limit: 10 });
  await walk(feed, 4);
  await settled();
  expect(app.network.pages).toHaveLength(1);
  await walk(feed, 5);
  await walk(feed, 9);
  await until(() => feed.videos.length === 20);
  expect(app.network.pages).toHaveLength(2);
});

test("a page that failed to load ahead is asked for again when it is needed", async () => {
  const app = startApp(await newTenant({ videos: 20 }));
  const feed = app.session.feed({ limit: 10 });
  await feed.at(0);
  app.network.failure = unreachable;
  await feed.at(9);
  await retried(app.clock);
  app.network.failure = undefined;
  expect((await feed.at(10))?.rank).toBe(10);
});

test("hints and the number of videos go with every page", async () => {
  const app = startApp(await newTenant({ videos: 20 }), { hints: { country: "DE", ageBand: "65+" } });
  await app.session.feed({ limit: 10 }).at(12);
  const asked = app.network.pages.map(({ url }) => ["limit", "country", "ageBand"].map((name) => url.searchParams.get(name)));
  expect(asked).toEqual(Array(2).fill(["10", "DE", "65+"]));
});

test("a feed is narrowed by filters on every page, also by values with a comma", async () => {
  const app = startApp(await newTenant({ videos: 60 }));
  const all = await walk(app.session.feed({ limit: 50 }));
  const [first, second] = [...new Set(all.map((video) => video.mainTag))] as [string, string];
  const wanted = all.filter((video) => [first, second].includes(video.mainTag));
  const narrowed = app.session.feed({ limit: 10, filter: { category: [first, second], tag: [first, "a,b"] } });
  const seen = await walk(narrowed);
  expect(ids(seen).sort()).toEqual(ids(wanted.filter((video) => video.mainTag === first)).sort());
  expect(app.network.pages.at(-1)?.url.searchParams.getAll("filter.tag")).toEqual([first, "a,b"]);
  expect(await app.session.feed({ filter: { creator: "nobody" } }).at(0)).toBeUndefined();
});

test("a feed that does not exist is refused", async () => {
  const app = startApp(await newTenant());
  await expect(app.session.feed({ feed: "garden" }).at(0)).rejects.toMatchObject({ code: "feed_not_found" });
});

test("an unchanged first page is not sent again, and a fresh one not even asked for", async () => {
  const tenant = await newTenant();
  const storage = memoryStore();
  const app = startApp(tenant, { storage });
  const first = await app.session.feed().at(0);
  await app.session.feed().at(0);
  expect(app.network.pages).toHaveLength(1);

  await app.clock.advance(11_000);
  const statuses: number[] = [];
  app.network.failure = async (_, send) => {
    const response = await send();
    statuses.push(response.status);
    return response;
  };
  expect(await app.session.feed().at(0)).toEqual(first);
  expect(statuses).toEqual([304]);

  const next = startApp(tenant, { storage, clock: app.clock });
  expect(await next.session.feed().at(0)).toEqual(first);
  expect(next.network.pages).toHaveLength(0);
});

test("the page that is kept is shown to nobody else, nor after a change of consent", async () => {
  const tenant = await newTenant();
  const app = startApp(tenant);
  await app.session.feed().at(0);
  app.session.setPersonalized(false);
  const feed = app.session.feed();
  await feed.at(0);
  expect(feed.info?.reason).toBe("no_consent");
  app.session.setUser(await newUser());
  await app.session.feed().at(0);
  expect(app.network.pages.map(({ headers }) => headers.get("If-None-Match"))).toEqual([null, null, null]);
});

test("the page that an earlier session has kept is shown to its user only, under the same consent", async () => {
  const tenant = await newTenant();
  const storage = memoryStore();
  await startApp(tenant, { storage }).session.feed().at(0);
  const clock = new ManualClock();
  for (const options of [{ user: await newUser() }, { personalized: false }, {}]) {
    const app = startApp(tenant, { storage, clock, ...options });
    await app.session.feed().at(0);
    expect(app.network.pages[0]!.headers.has("If-None-Match")).toBe(false);
  }
});

test("a cursor that has expired is replaced without a repetition of what is on screen", async () => {
  const app = startApp(await newTenant({ videos: 30 }));
  const feed = app.session.feed({ limit: 10 });
  const before = await walk(feed, 4);
  app.clock.set(await passAtService(13 * 3_600));
  const all = await walk(feed);
  expect(ids(all).slice(0, 4)).toEqual(ids(before));
  expect(new Set(ids(all)).size).toBe(30);
  expect(all).toHaveLength(30);
  const cursors = app.network.pages.map(({ url }) => url.searchParams.has("cursor"));
  expect(cursors.slice(0, 3)).toEqual([false, true, false]);
  expect(app.errors).toEqual([]);
});

test("after an opt-out what was loaded and not shown is forgotten, and nothing shown comes again", async () => {
  const app = startApp(await newTenant({ videos: 30 }));
  const feed = app.session.feed({ limit: 10 });
  const before = await walk(feed, 3);
  app.session.setPersonalized(false);
  expect(ids(feed.videos)).toEqual(ids(before));
  const all = await walk(feed);
  expect(new Set(ids(all)).size).toBe(all.length);
  expect(all).toHaveLength(30);
  expect(feed.info?.reason).toBe("no_consent");
});

test("a page that was on its way when the user changed is not shown to the next one", async () => {
  const app = startApp(await newTenant({ videos: 10 }));
  const feed = app.session.feed();
  const next = await newUser();
  const first = feed.at(0);
  app.session.setUser(next);
  expect(await first).toBeDefined();
  const users = app.network.pages.map(({ headers }) => headers.get("X-User"));
  expect(users.at(-1)).toBe(next);
  expect(feed.videos).toHaveLength(10);
});

test("a call that is aborted ends at once, and the feed goes on", async () => {
  const app = startApp(await newTenant());
  const feed = app.session.feed();
  let release = (): void => undefined;
  once(app.network, async (_, send) => {
    await new Promise<void>((resolve) => (release = resolve));
    return send();
  });
  const abort = new AbortController();
  const call = feed.at(0, { signal: abort.signal });
  await settled();
  abort.abort();
  expect((await failing(call)).code).toBe("aborted");
  release();
  expect(await feed.at(0)).toBeDefined();
  expect(app.network.pages).toHaveLength(1);
});

test("a service that cannot be reached is a typed error after some attempts, and works again later", async () => {
  const app = startApp(await newTenant());
  app.network.failure = unreachable;
  const feed = app.session.feed();
  const call = failing(feed.at(0));
  await retried(app.clock);
  const error = await call;
  expect([error.code, error.status, error.retryable]).toEqual(["network", 0, true]);
  expect(app.network.pages).toHaveLength(4);
  app.network.failure = undefined;
  expect(await feed.at(0)).toBeDefined();
});

test("no answer within ten seconds is a time-out", async () => {
  const app = startApp(await newTenant(), {
    fetch: (_, init) => new Promise((_resolve, cut) => init?.signal?.addEventListener("abort", () => cut(new Error("cut")))),
  });
  const call = failing(app.session.feed().at(0));
  await retried(app.clock, 8);
  expect((await call).code).toBe("timeout");
});

test("an error of the service has its code, status, error id and the time to wait", async () => {
  const tenant = await newTenant();
  const wrong = await failing(startApp({ ...tenant, apiKey: "a-guessed-key" }).session.feed().at(0));
  expect([wrong.name, wrong.code, wrong.status, wrong.retryable]).toEqual(["FeedError", "unauthorized", 401, false]);
  expect(wrong.errorId).toMatch(/^[0-9a-f]{16}$/);

  const app = startApp(tenant);
  app.network.failure = async () => answer(429, { code: "overloaded" }, { "Retry-After": "30" });
  const busy = await failing(app.session.feed().at(0));
  expect([busy.code, busy.retryAfter, app.network.pages.length]).toEqual(["overloaded", 30, 1]);
});

test("the page of a hotel's network is no feed", async () => {
  const app = startApp(await newTenant());
  once(app.network, async () => answer(200, "<html>Welcome! Please sign in.</html>"));
  const first = app.session.feed().at(0);
  await settled();
  await app.clock.advance(1_000);
  expect(await first).toBeDefined();
});

test("an expired user token is renewed once for all calls that had it", async () => {
  const tenant = await newTenant({ configuration: { require_user_token: true } });
  const asked: string[] = [];
  const app = startApp(tenant, {
    userToken: (user) => {
      asked.push(user);
      return control("token", { ...tenant, ago: asked.length === 1 ? 7_200 : 0 });
    },
  });
  const pages = await Promise.all([app.session.feed().at(0), app.session.feed({ limit: 3 }).at(0)]);
  expect(pages.every(Boolean)).toBe(true);
  expect(asked).toEqual([tenant.user, tenant.user]);
});

test("a call-back that gives expired tokens only is asked twice, not for ever", async () => {
  const tenant = await newTenant({ configuration: { require_user_token: true } });
  let asked = 0;
  const app = startApp(tenant, {
    userToken: () => {
      asked++;
      return control("token", { ...tenant, ago: 7_200 + asked });
    },
  });
  expect((await failing(app.session.feed().at(0))).code).toBe("user_token_expired");
  expect(asked).toBe(2);
});

test("a user that is no hash is refused before anything is sent", async () => {
  const tenant = await newTenant();
  expect(() => startApp({ ...tenant, user: "anna@example.com" })).toThrow(/64 lower-case hex digits/);
});

test("what is asked of a closed session ends as aborted", async () => {
  const app = startApp(await newTenant());
  const feed = app.session.feed();
  await app.session.close();
  expect((await failing(feed.at(0))).code).toBe("aborted");
});
