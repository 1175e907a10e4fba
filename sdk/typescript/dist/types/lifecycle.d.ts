/** What happens to the page: hidden, gone, back, online. Nothing where there is no page. */
export interface Listeners {
    /** The page is not seen any more. It may be killed without another word. */
    onHidden(): void;
    /** The page is seen again. */
    onVisible(): void;
    /** The page is left. It may come back by the back button, as it was. */
    onGone(): void;
    /** The page came back by the back button. */
    onBack(): void;
    onOnline(): void;
}
/** Begins to listen. The function returned ends it. */
export declare function listen(to: Listeners): () => void;
/** Whether the device knows that it has no network. */
export declare function isOffline(): boolean;
