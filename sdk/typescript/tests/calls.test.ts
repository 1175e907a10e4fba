// Stories, lists and similar videos against the real service.
import { expect, test } from "vitest";
import { control, newTenant, startApp, until } from "./harness.js";

const tokenOf = (tenantId: string) => (user: string) => control<string>("token", { tenantId, user });

test("a row of stories is shown, seen and reacted to", async () => {
  const tenant = await newTenant({ videos: 5 });
  const id = await control<string>("story", tenant);
  const { session } = startApp(tenant, { userToken: tokenOf(tenant.tenantId) });
  const row = await session.stories.row();
  const story = row.authors[0]!.stories[0]!;
  expect([story.id, story.text, row.authors[0]!.unseen]).toEqual([id, "Off to the lake.", 1]);
  await session.stories.viewed(story);
  await session.stories.viewed(story);
  await session.stories.react(story, "🔥");
  await session.stories.react(story, null);
  const again = await session.stories.row({ order: "ranked", limit: 10 });
  expect(again.authors[0]!.unseen).toBe(0);
  expect(["ranked", "fallback"]).toContain(again.mode); // newest first, until the ranking knows the story
  await expect(session.stories.viewed({ ...story, id: `${id.slice(0, -3)}AAA` })).rejects.toMatchObject({ status: 404 });
});

test("lists are the user's own, and need their token", async () => {
  const tenant = await newTenant({ videos: 5 });
  const { session } = startApp(tenant, { userToken: tokenOf(tenant.tenantId) });
  expect((await session.list("saved", { limit: 5 })).items).toEqual([]);
  expect((await session.following({ kind: "creator" })).items).toEqual([]);
  const stranger = startApp(await newTenant({ videos: 5 })).session;
  await expect(stranger.list("liked")).rejects.toMatchObject({ code: "missing_user_token" });
});

test("similar videos are videos that events can be about", async () => {
  const app = startApp(await newTenant({ videos: 20 }));
  const video = (await app.session.feed().at(0))!;
  const { items, feedRequestId } = await app.session.similar(video, 5);
  expect(items.length).toBeGreaterThan(0);
  expect(items.every((each) => each.feedRequestId === feedRequestId && each.videoId !== video.videoId)).toBe(true);
  app.session.events.impression(items[0]!);
  await app.session.flush();
  await until(() => app.network.uploads.length === 1);
  expect(app.rejected).toEqual([]);
});
