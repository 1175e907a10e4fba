/** Calls that stand for themselves: stories, lists and similar videos. Each is one attempt, and rejects with `FeedError`. */
import type { components } from "./api-types.js";
import type { Video } from "./feed.js";
import type { Call, Http, Viewer } from "./http.js";
type Schemas = components["schemas"];
export type StoryRow = Schemas["StoryRow"];
export type Story = Schemas["StoryItem"];
export type ListedVideos = Schemas["ListedVideos"];
export type Following = Schemas["Following"];
export type SimilarPage = Omit<Schemas["SimilarVideosPage"], "items"> & {
    readonly items: (Schemas["SimilarVideo"] & Video)[];
};
/** The reactions that there are. */
export type Emoji = "👍" | "❤️" | "😂" | "😮" | "😢" | "🔥";
/** Where a page goes on, and how long it is. */
export interface Paging {
    limit?: number;
    cursor?: string | null;
}
type Ask = <T>(path: string, query?: object, more?: Partial<Call>) => Promise<T>;
/** One call for whoever looks now. */
export declare const asker: (http: Http, viewer: () => Viewer) => Ask;
/** Stories of a day. Each call needs the user's token (`userToken`), and stories to be on for the tenant. */
export declare class Stories {
    #private;
    constructor(ask: Ask);
    /** A page of authors with something to show; `ranked` puts first whom the viewer has not seen. */
    row(options?: Paging & {
        order?: "newest" | "ranked";
    }): Promise<StoryRow>;
    /** The viewer has seen it. May be told twice. */
    viewed(story: Story): Promise<void>;
    /** Puts a reaction in place of the one before; null takes it back. */
    react(story: Story, emoji: Emoji | null): Promise<void>;
}
/** Videos like a video; events about them quote the page they stood on. */
export declare function similar(ask: Ask, video: {
    videoId: string;
}, limit?: number): Promise<SimilarPage>;
export {};
