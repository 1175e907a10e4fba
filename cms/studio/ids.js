// Makes ids from names.

import { post } from "./api.js";

/**
 * An id like a name, such as `cafe-noir` for “Café noir”. Of a name without Latin letters it is the `kind` alone.
 * @param {string} name @param {string} kind
 */
export function idOf(name, kind) {
  const latin = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/ß/g, "ss").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return (/\p{L}/u.test(latin) ? latin : [kind, latin].filter(Boolean).join("-")).slice(0, 48).replace(/-+$/, "");
}

const TRIES = 30;

/**
 * Create a document under the first free id like its name: `cup`, else `cup-2`, and so on.
 * @param {string} path such as `playlists` @param {any} body @param {string} kind such as `playlist` @param {Iterable<string>} [known] ids that are taken
 */
export async function createNamed(path, body, kind, known = []) {
  const taken = new Set(known), wanted = idOf(body.name ?? "", kind);
  for (let at = 1, tries = 0; ; at += 1) {
    const id = at === 1 ? wanted : `${wanted}-${at}`;
    if (taken.has(id)) continue;
    try {
      return await post(path, { ...body, id });
    } catch (error) {
      if (error.code !== "already_exists" || ++tries >= TRIES) throw error;
    }
  }
}
