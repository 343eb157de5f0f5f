// What the scalars of the schema are in JavaScript: as they come out of JSON.parse.

/** BigInt: digits. `BigInt(text)` makes a number of them that is never rounded. */
export type BigIntText = `${bigint}`;

/** DateTime: ISO 8601 with its time zone. `new Date(text)` reads it. */
export type Timestamp = string;

/** JSON. JavaScript rounds numbers beyond 15 digits; the server does not. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
