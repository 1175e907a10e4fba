// Converts weights to a line of text, such as `quality: 1, recency: 0.5`, and back.

import { written } from "./controls.js";

/** @param {Record<string, number>} [weights] */
export const writeWeights = (weights) => Object.entries(weights ?? {}).map(([name, weight]) => `${name}: ${weight}`).join(", ");

/** @param {string} text @returns {Record<string, number>} */
export function readWeights(text) {
  return Object.fromEntries(text.split(/[,;\n]/).map((each) => each.trim()).filter(Boolean).map((each) => {
    const [, name, weight] = /^([^:=\s]+)\s*[:=]\s*(-?\d+(?:\.\d+)?)$/.exec(each.replace("−", "-")) ?? [];
    if (!name) throw new Error(`Weights: “${each}” is not a name and a number, such as quality: 1.`);
    return [name, Number(weight)];
  }));
}

export const weightsLine = () => written({ placeholder: "quality: 1, recency: 0.5" }, writeWeights, readWeights);
