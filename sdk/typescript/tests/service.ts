// Starts the real service for the tests, and ends it with them.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

export interface Service {
  url: string;
  control: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    service: Service;
  }
}

const root = fileURLToPath(new URL("../../..", import.meta.url));

export default async function start(project: TestProject): Promise<() => Promise<void>> {
  const ours = `${root}.venv/bin/python`;
  const python = process.env["PYTHON"] ?? (existsSync(ours) ? ours : "python3");
  const child = spawn(python, ["-m", "tests.sdk.server"], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
  project.provide("service", JSON.parse(await firstLine(child)) as Service);
  return () => ended(child);
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`The service ended with ${code}: name a Python with its packages in PYTHON.`)));
    createInterface({ input: child.stdout! }).once("line", resolve);
  });
}

/** It ends when its input does. */
function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.stdin!.end();
  });
}
