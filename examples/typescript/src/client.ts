// Asks a vkg server: one operation in, its data out, typed by what graphql-codegen made of it.

import type { TypedDocumentString } from "./generated/graphql.js";

/** What a vkg server says was wrong: `code` is stable, `hint` says what to do. */
interface Problem {
  readonly message: string;
  readonly extensions?: { readonly code?: string; readonly hint?: string };
}

interface Answer<Data> {
  readonly data?: Data | null;
  readonly errors?: readonly Problem[];
}

/** The server answered, and said that something is wrong with the request. */
export class Refused extends Error {
  readonly codes: readonly string[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(shown).join("\n"));
    this.name = "Refused";
    this.codes = problems.flatMap((problem) => problem.extensions?.code ?? []);
  }
}

/** There was no answer, or none of a vkg server. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

function shown({ message, extensions }: Problem): string {
  return [extensions?.code, message, extensions?.hint].filter((part) => part !== undefined).join(": ");
}

/** The data of one operation. Throws Refused or Unreachable. */
export async function ask<Data, Variables>(url: string, operation: TypedDocumentString<Data, Variables>, variables: Variables): Promise<Data> {
  const answer = await post<Data>(url, JSON.stringify({ query: operation.toString(), variables }));
  if (answer.errors !== undefined && answer.errors.length > 0) throw new Refused(answer.errors);
  if (answer.data == null) throw new Unreachable(`${url} is not where a GraphQL server answers.`);
  return answer.data;
}

async function post<Data>(url: string, body: string): Promise<Answer<Data>> {
  let text: string;
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body,
      signal: AbortSignal.timeout(60_000),
    });
    text = await response.text();
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new Unreachable(`No answer from ${url}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  try {
    return JSON.parse(text) as Answer<Data>; // errors come as JSON, too, so the status of the response adds nothing
  } catch {
    return {};
  }
}
