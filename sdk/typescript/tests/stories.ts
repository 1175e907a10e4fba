// What the tests of events share: an app that shows videos, what it reports, what the service's archive must say of it.
import type { Video } from "../src/index.js";
import { type App, type Archived, type Tenant, startApp } from "./harness.js";

export const HOUR_MS = 3_600_000;

/** An app with the first videos of its feed. */
export async function watching(tenant: Tenant, options = {}): Promise<App & { videos: readonly Video[] }> {
  const app = startApp(tenant, options);
  const feed = app.session.feed();
  await feed.at(0);
  return { ...app, videos: feed.videos };
}

/** `type videoId`, in order. */
export const named = (lines: readonly Archived[]): string[] => lines.map((line) => `${line.type} ${line.videoId}`);

/** Reports two events about each video, `ms` apart. Returns what the archive must say of them, once. */
export async function report(app: App, videos: readonly Video[], ms = 1): Promise<string[]> {
  for (const video of videos) {
    app.session.events.impression(video);
    await app.clock.advance(ms);
    app.session.events.view(video, 5_000);
    await app.clock.advance(ms);
  }
  return videos.flatMap(({ videoId }) => [`impression ${videoId}`, `video_view ${videoId}`]);
}
