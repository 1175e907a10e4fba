/** User tokens: asked for when first needed, kept until the service refuses one. */

import { asFeedError } from "./errors.js";

/** A fresh token for the user with this hash, from your backend; null where there is none. */
export type UserToken = (user: string) => Promise<string | null> | string | null;

interface Kept {
  readonly promise: Promise<string | null>;
  value?: string | null;
}

export class Tokens {
  readonly #ask: UserToken | undefined;
  readonly #kept = new Map<string, Kept>();

  constructor(ask: UserToken | undefined) {
    this.#ask = ask;
  }

  /**
   * The token of a user. `refused` is one that the service called expired: a new one is asked for, once, however many
   * calls had the old one. Rejects with `token` where the call-back fails.
   */
  async of(user: string, refused?: string | null): Promise<string | null> {
    if (!this.#ask) return null;
    const kept = this.#kept.get(user);
    if (kept && (refused === undefined || kept.value !== refused)) return kept.promise;
    const asked: Kept = { promise: this.#fetch(this.#ask, user) };
    this.#kept.set(user, asked);
    try {
      return (asked.value = await asked.promise);
    } catch (error) {
      if (this.#kept.get(user) === asked) this.#kept.delete(user);
      throw error;
    }
  }

  /** Forgets them all: the next call asks for a new one. */
  forget(): void {
    this.#kept.clear();
  }

  async #fetch(ask: UserToken, user: string): Promise<string | null> {
    try {
      return (await ask(user)) ?? null;
    } catch (error) {
      throw asFeedError(error, "token");
    }
  }
}
