"""Who has no other allele than this one, where are they from, and what else does the first of them carry in the gene?

Run it as `python carriers.py rs4813331 http://127.0.0.1:8000/graphql`, after `ariadne-codegen` has written vkg_client/.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import defaultdict

from vkg_client import Vkg
from vkg_client.base import Refused, Unreachable
from vkg_client.carriers import CarriersVariantCarriersEdges as Carrier
from vkg_client.enums import Zygosity
from vkg_client.sample_variants import SampleVariantsSampleVariantsEdges as Carried


async def carriers_of(vkg: Vkg, variant: str) -> list[Carrier]:
    """All of them, a page at a time; cursors keep to the data that the first page was read from."""
    rows: list[Carrier] = []
    after = None
    while True:
        found = (await vkg.carriers(variant, first=20, after=after, zygosity=[Zygosity.HOM_ALT, Zygosity.HEMI])).variant
        if found is None:
            return rows
        rows += found.carriers.edges
        after = found.carriers.page_info.end_cursor
        if not found.carriers.page_info.has_next_page:
            return rows


async def carried_by(vkg: Vkg, sample: str, gene: str) -> list[Carried]:
    """What a person carries in a gene, in genome order."""
    rows: list[Carried] = []
    after = None
    while True:
        found = (await vkg.sample_variants(sample, gene, first=100, after=after)).sample
        if found is None:
            return rows
        rows += found.variants.edges
        after = found.variants.page_info.end_cursor
        if not found.variants.page_info.has_next_page:
            return rows


def percent(frequency: float | None) -> str:
    return "?" if frequency is None else f"{100 * frequency:.1f} %"


def known(number: int | None) -> str:
    return "?" if number is None else str(number)


async def answer(vkg: Vkg, name: str) -> list[str]:
    """The lines of the answer; none where no visible file has the variant."""
    variant = (await vkg.variant(name)).variant
    if variant is None:
        return []
    genes = [f"{edge.relation.value.lower()} {edge.node.symbol}" for edge in variant.genes.edges]
    lines = [f"{variant.name} ({', '.join(variant.rsids) or 'no rsID'}), {variant.type_.value}, {', '.join(genes) or 'far from any gene'}"]

    lines += ["", "How common it is"]
    for f in variant.population_frequencies:
        lines.append(f"  {f.population}: {percent(f.frequency)}, {known(f.allele_count)} of {known(f.allele_number)} alleles")

    carriers = await carriers_of(vkg, variant.name)
    lines += ["", f"People who have no other allele: {len(carriers)}"]
    homes = defaultdict(list)
    for edge in carriers:
        homes[edge.node.population.name if edge.node.population else "unknown"].append(edge.node.name)
    for home, people in sorted(homes.items()):
        lines.append(f"  {home}: {len(people)}, {' '.join(people[:3])}{' ...' if len(people) > 3 else ''}")

    if carriers and variant.genes.edges:
        person, gene = carriers[0].node, variant.genes.edges[0].node
        carried = await carried_by(vkg, f"{person.cohort}/{person.name}", gene.gene_id)
        lines += ["", f"What {person.name} carries in {gene.symbol}: {len(carried)} variants, the rarest"]
        shares = [(row.node.frequency.frequency if row.node.frequency else None, row) for row in carried]
        for share, row in sorted(shares, key=lambda pair: float("inf") if pair[0] is None else pair[0])[:3]:
            lines.append(f"  {row.node.name} {row.gt} {row.zygosity.value}, {percent(share)}")
    return lines


async def main() -> int:
    parser = argparse.ArgumentParser(description="Who has no other allele than this one, and what else do they carry in its gene?")
    parser.add_argument("variant", nargs="?", default="rs4813331", help="any name of a variant")
    parser.add_argument("url", nargs="?", default=os.environ.get("VKG_URL", "http://127.0.0.1:8000/graphql"))
    arguments = parser.parse_args()
    try:
        async with Vkg(arguments.url) as vkg:
            lines = await answer(vkg, arguments.variant)
    except (Refused, Unreachable) as error:
        print(error, file=sys.stderr)
        return 2
    if not lines:
        print(f"The store has no variant {arguments.variant}.", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
