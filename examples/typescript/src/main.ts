// Who has no other allele than this one, where are they from, and what else does the first of them carry in the gene?
//
//   node dist/main.js rs4813331 http://127.0.0.1:8000/graphql

import { ask, Refused, Unreachable } from "./client.js";
import { CarriersDocument, SampleVariantsDocument, VariantDocument } from "./generated/graphql.js";
import type { CarriersQuery, SampleVariantsQuery } from "./generated/graphql.js";

type Carrier = NonNullable<CarriersQuery["variant"]>["carriers"]["edges"][number];
type Carried = NonNullable<SampleVariantsQuery["sample"]>["variants"]["edges"][number];

interface Page<Edge> {
  readonly edges: readonly Edge[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** All rows of a list, a page at a time; cursors keep to the data that the first page was read from. */
async function allOf<Edge>(page: (after: string | null) => Promise<Page<Edge> | undefined>): Promise<Edge[]> {
  const rows: Edge[] = [];
  let after: string | null = null;
  do {
    const read: Page<Edge> | undefined = await page(after);
    rows.push(...(read?.edges ?? []));
    after = read?.pageInfo.hasNextPage ? read.pageInfo.endCursor : null;
  } while (after !== null);
  return rows;
}

function carriersOf(url: string, id: string): Promise<Carrier[]> {
  return allOf(async (after) => {
    const { variant } = await ask(url, CarriersDocument, { id, zygosity: ["HOM_ALT", "HEMI"], first: 20, after });
    return variant?.carriers;
  });
}

function carriedBy(url: string, id: string, gene: string): Promise<Carried[]> {
  return allOf(async (after) => {
    const { sample } = await ask(url, SampleVariantsDocument, { id, gene, first: 100, after });
    return sample?.variants;
  });
}

function percent(frequency: number | null | undefined): string {
  return frequency == null ? "?" : `${(100 * frequency).toFixed(1)} %`;
}

/** The lines of the answer; none where no visible file has the variant. */
async function answer(url: string, id: string): Promise<string[]> {
  const { variant } = await ask(url, VariantDocument, { id });
  if (variant === null) return [];
  const genes = variant.genes.edges.map(({ relation, node }) => `${relation.toLowerCase()} ${node.symbol}`);
  const lines = [`${variant.name} (${variant.rsids.join(", ") || "no rsID"}), ${variant.type}, ${genes.join(", ") || "far from any gene"}`];

  lines.push("", "How common it is");
  for (const { population, frequency, alleleCount, alleleNumber } of variant.populationFrequencies) {
    lines.push(`  ${population}: ${percent(frequency)}, ${alleleCount ?? "?"} of ${alleleNumber ?? "?"} alleles`);
  }

  const carriers = await carriersOf(url, variant.name);
  lines.push("", `People who have no other allele: ${carriers.length}`);
  const homes = new Map<string, string[]>();
  for (const { node } of carriers) {
    const home = node.population?.name ?? "unknown";
    homes.set(home, [...(homes.get(home) ?? []), node.name]);
  }
  for (const [home, people] of [...homes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    lines.push(`  ${home}: ${people.length}, ${people.slice(0, 3).join(" ")}${people.length > 3 ? " ..." : ""}`);
  }

  const [person] = carriers;
  const [gene] = variant.genes.edges;
  if (person !== undefined && gene !== undefined) {
    const carried = await carriedBy(url, `${person.node.cohort}/${person.node.name}`, gene.node.geneId);
    lines.push("", `What ${person.node.name} carries in ${gene.node.symbol}: ${carried.length} variants, the rarest`);
    const rarity = ({ node }: Carried) => node.frequency?.frequency ?? Infinity;
    for (const row of carried.sort((a, b) => rarity(a) - rarity(b)).slice(0, 3)) {
      lines.push(`  ${row.node.name} ${row.gt} ${row.zygosity}, ${percent(row.node.frequency?.frequency)}`);
    }
  }
  return lines;
}

async function main(): Promise<number> {
  const [id = "rs4813331", url = process.env["VKG_URL"] ?? "http://127.0.0.1:8000/graphql"] = process.argv.slice(2);
  try {
    const lines = await answer(url, id);
    if (lines.length > 0) console.log(lines.join("\n"));
    else console.error(`The store has no variant ${id}.`);
    return lines.length > 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    console.error(error.message);
    return 2;
  }
}

process.exitCode = await main();
