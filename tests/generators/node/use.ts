// An app on the generated client: asks for a feed, reports what was watched, prints what came of it.
import { client } from "./client/client.gen.js";
import { getFeed, postEvents } from "./client/sdk.gen.js";
import type { components } from "./types.js";

declare const process: { argv: string[] };
type Schemas = components["schemas"];

// What may be left out may be left out, and what comes next year is a value like any other.
export const event: Schemas["Event"] = { type: "like", videoId: "v", timestamp: 1 };
export const reason: Schemas["FeedPage"]["reason"] = "of_next_year";
export const status: Schemas["Problem"]["code"] = "of_next_year";

const [url, tenant, key, user] = process.argv.slice(2);
client.setConfig({ baseUrl: url, headers: { "X-Tenant-Id": tenant, "X-Api-Key": key } });
const headers = { "X-User": user };

const page = await getFeed({ headers, query: { limit: 3 } });
if (!page.data) throw new Error(JSON.stringify(page.error));
const { items, feedRequestId } = page.data;
const seen = items.map((item) => ({
  type: "impression",
  videoId: item.videoId,
  timestamp: Date.now(),
  feedRequestId,
  rankPosition: item.rank,
}));
const batch = await postEvents({ headers, body: { events: seen } });
if (!batch.data) throw new Error(JSON.stringify(batch.error));

const refused = await getFeed({ headers, query: { limit: 0 } });
console.log(JSON.stringify([items.length, batch.data.accepted, batch.data.rejected, refused.error?.code]));
