/** Calls that stand for themselves: stories, lists and similar videos. Each is one attempt, and rejects with `FeedError`. */

import type { components } from "./api-types.js";
import type { Video } from "./feed.js";
import type { Call, Http, Viewer } from "./http.js";

type Schemas = components["schemas"];
export type StoryRow = Schemas["StoryRow"];
export type Story = Schemas["StoryItem"];
export type ListedVideos = Schemas["ListedVideos"];
export type Following = Schemas["Following"];
export type SimilarPage = Omit<Schemas["SimilarVideosPage"], "items"> & { readonly items: (Schemas["SimilarVideo"] & Video)[] };
/** The reactions that there are. */
export type Emoji = "👍" | "❤️" | "😂" | "😮" | "😢" | "🔥";
/** Where a page goes on, and how long it is. */
export interface Paging {
  limit?: number;
  cursor?: string | null;
}

type Ask = <T>(path: string, query?: object, more?: Partial<Call>) => Promise<T>;

/** One call for whoever looks now. */
export const asker =
  (http: Http, viewer: () => Viewer): Ask =>
  async <T>(path: string, query: object = {}, more: Partial<Call> = {}) => {
    const given = Object.entries(query).filter(([, value]) => value != null);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    return (await http.send({ path: `/v1/${path}${search && `?${search}`}`, viewer: viewer(), ...more })).body as T;
  };

/** Stories of a day. Each call needs the user's token (`userToken`), and stories to be on for the tenant. */
export class Stories {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** A page of authors with something to show; `ranked` puts first whom the viewer has not seen. */
  row(options: Paging & { order?: "newest" | "ranked" } = {}): Promise<StoryRow> {
    return this.#ask("stories", options);
  }

  /** The viewer has seen it. May be told twice. */
  async viewed(story: Story): Promise<void> {
    await this.#ask(`stories/${story.id}/view`, {}, { method: "PUT" });
  }

  /** Puts a reaction in place of the one before; null takes it back. */
  async react(story: Story, emoji: Emoji | null): Promise<void> {
    const more = emoji ? { method: "PUT", body: JSON.stringify({ emoji }) } : { method: "DELETE" };
    await this.#ask(`stories/${story.id}/reaction`, {}, more);
  }
}

/** Videos like a video; events about them quote the page they stood on. */
export async function similar(ask: Ask, video: { videoId: string }, limit?: number): Promise<SimilarPage> {
  const page = await ask<Schemas["SimilarVideosPage"]>(`videos/${video.videoId}/similar`, { limit });
  return { ...page, items: page.items.map((item) => ({ ...item, feedRequestId: page.feedRequestId })) as SimilarPage["items"] };
}
