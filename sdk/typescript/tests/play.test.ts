// Plays against the real service: what a player does, whatever becomes of the app meanwhile, is one view with its time.
import { expect, test } from "vitest";
import { memoryStore } from "../src/index.js";
import { archived, newTenant, signals, startApp, unreachable } from "./harness.js";
import { watching } from "./stories.js";

const types = (lines: readonly { type: string }[]): string[] => lines.map((line) => line.type).sort();

test.concurrent("a play tells its time every ten seconds, and is one view with the time that it has played", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const play = app.session.play(app.videos[0]!);
  play.playing();
  await app.clock.advance(12_000);
  await app.session.flush();
  play.paused();
  await app.clock.advance(60_000);
  play.playing();
  await app.clock.advance(13_000);
  await app.session.flush();
  play.end();
  await app.clock.advance(60_000);
  await app.session.flush();
  const lines = await archived(tenant);
  expect(types(lines)).toEqual(["progress", "progress", "start", "video_view"]);
  expect(new Set(lines.map((line) => line.session)).size).toBe(1);
  const known = await signals(tenant);
  expect(known?.totalViewsLast7d).toBe(1);
  const seconds = known!.totalWatchTimeLast7dMs / 1000;
  expect(seconds).toBeGreaterThanOrEqual(25);
  expect(seconds).toBeLessThan(30); // real time passes too, as much as a busy machine takes for these lines
});

test.concurrent("an app that is killed loses what played after the last heartbeat, and nothing else", async () => {
  const tenant = await newTenant();
  const storage = memoryStore();
  const app = await watching(tenant, { storage });
  app.session.play(app.videos[0]!).playing();
  await app.clock.advance(27_000);
  await storage.release(); // as when its process ends: the app itself hears nothing
  await startApp(tenant, { storage }).session.flush();
  const known = await signals(tenant);
  expect([known?.totalViewsLast7d, Math.round(known!.totalWatchTimeLast7dMs / 1000)]).toEqual([1, 20]);
});

test.concurrent("a session that is closed in the middle of a play leaves the time up to then", async () => {
  const tenant = await newTenant();
  const storage = memoryStore();
  const app = await watching(tenant, { storage });
  app.session.play(app.videos[0]!).playing();
  await app.clock.advance(27_000);
  await app.session.close();
  await startApp(tenant, { storage }).session.flush();
  expect(Math.round((await signals(tenant))!.totalWatchTimeLast7dMs / 1000)).toBe(27);
});

test.concurrent("of heartbeats that wait for the network only the latest is kept", async () => {
  const tenant = await newTenant();
  let offline = false;
  const app = await watching(tenant, { isOffline: () => offline });
  offline = true;
  app.network.failure = unreachable;
  const [first, second] = app.videos.map((video) => app.session.play(video));
  first!.playing();
  await app.clock.advance(65_000);
  expect(app.session.queued).toBe(2);
  first!.end();
  second!.playing();
  await app.clock.advance(35_000);
  expect(app.session.queued).toBe(4);
  offline = false;
  app.network.failure = undefined;
  await app.session.flush();
  expect(types(await archived(tenant))).toEqual(["progress", "start", "start", "video_view"]);
  const known = await signals(tenant);
  expect([known?.totalViewsLast7d, Math.round(known!.totalWatchTimeLast7dMs / 1000)]).toEqual([2, 95]);
});

test.concurrent("stalls, failures and the end are reported; waiting before the start and after the end is none", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const play = app.session.play(app.videos[0]!);
  play.stalled();
  play.playing();
  await app.clock.advance(3_000);
  play.stalled();
  await app.clock.advance(3_000);
  play.playing();
  await app.clock.advance(3_000);
  play.completed();
  play.end();
  const broken = app.session.play(app.videos[1]!);
  broken.failed();
  broken.end();
  await app.session.flush();
  const lines = await archived(tenant);
  expect(types(lines)).toEqual(["complete", "playback_error", "stall", "start", "video_view"]);
  const view = lines.find((line) => line.type === "video_view")!;
  expect([Math.round(view.watchTimeMs! / 1000), view.play]).toEqual([6, null]);
});

test.concurrent("without consent a play sends no heartbeat, and its view counts whole", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant, { personalized: false });
  const play = app.session.play(app.videos[0]!);
  play.playing();
  await app.clock.advance(35_000);
  play.end();
  await app.session.flush();
  const lines = await archived(tenant);
  expect(types(lines)).toEqual(["start", "video_view"]);
  expect(lines.map((line) => line.session)).toEqual([null, null]);
  expect(Math.round(lines.find((line) => line.type === "video_view")!.watchTimeMs! / 1000)).toBe(35);
});

test.concurrent("a play that goes on while consent is taken back is one view before and one after", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const play = app.session.play(app.videos[0]!);
  play.playing();
  await app.clock.advance(12_000);
  app.session.setPersonalized(false);
  await app.clock.advance(12_000);
  play.end();
  await app.session.flush();
  const views = (await archived(tenant)).filter((line) => line.type === "video_view");
  expect(views.map((line) => [line.user === null, Math.round(line.watchTimeMs! / 1000)]).sort()).toEqual([[false, 12], [true, 12]]);
  expect((await signals(tenant))?.totalViewsLast7d).toBe(1);
});

test.concurrent("a clock that is set during a play adds no time to it", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const play = app.session.play(app.videos[0]!);
  for (const jump of [7, -7]) {
    play.playing();
    await app.clock.advance(4_000);
    play.paused();
    app.clock.set(jump * 86_400_000);
  }
  play.end();
  await app.session.flush();
  const known = await signals(tenant);
  expect([known?.totalViewsLast7d, Math.round(known!.totalWatchTimeLast7dMs / 1000)]).toEqual([1, 8]);
});
