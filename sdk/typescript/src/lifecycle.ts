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
export function listen(to: Listeners): () => void {
  if (typeof document === "undefined" || typeof window === "undefined") return () => undefined;
  const end = new AbortController();
  const { signal } = end;
  const changed = () => (document.visibilityState === "hidden" ? to.onHidden() : to.onVisible());
  document.addEventListener("visibilitychange", changed, { signal });
  window.addEventListener("pagehide", () => to.onGone(), { signal });
  window.addEventListener("pageshow", (event) => event.persisted && to.onBack(), { signal });
  window.addEventListener("online", () => to.onOnline(), { signal });
  return () => end.abort();
}

/** Whether the device knows that it has no network. */
export function isOffline(): boolean {
  return globalThis.navigator?.onLine === false;
}
