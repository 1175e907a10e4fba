/** User tokens: asked for when first needed, kept until the service refuses one. */
/** A fresh token for the user with this hash, from your backend; null where there is none. */
export type UserToken = (user: string) => Promise<string | null> | string | null;
export declare class Tokens {
    #private;
    constructor(ask: UserToken | undefined);
    /**
     * The token of a user. `refused` is one that the service called expired: a new one is asked for, once, however many
     * calls had the old one. Rejects with `token` where the call-back fails.
     */
    of(user: string, refused?: string | null): Promise<string | null>;
    /** Forgets them all: the next call asks for a new one. */
    forget(): void;
}
