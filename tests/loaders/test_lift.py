"""Lifting over: chains to places by example and against a plain walk over every base, both ways; alleles with their strand; chain files refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.errors import InputError
from loaders.lift import Lift, open_lift, read_lift
from loaders.normalize import Normalizer, Rejected, reverse_complement
from store.assembly import GRCH37, GRCH38, Assembly, chrom_code
from store.reference import Reference

Blocks = Sequence[tuple[int, ...]]
NEW = "TTGCACACAGGGTTTACGATCCATGAACTG"  # GRCh38 20:1-30 of these tests; in GRCh37 it is at 201-230, and at 101-130 on the reverse strand


def chain(
    blocks: Blocks, start: int, other: int, score: int = 1000, name: str = "chr20", to: str = "chr20", strand: str = "+",
    builds: tuple[Assembly, Assembly] = (GRCH37, GRCH38),
) -> str:  # fmt: skip
    """A chain of blocks (size, gap, gap of the other), the last a size alone, from 0-based starts."""
    sizes = [build.length(code) if (code := chrom_code(each)) else 100_000 for build, each in zip(builds, (name, to), strict=True)]
    end = start + sum(sum(block[:2]) for block in blocks)
    other_end = other + sum(block[0] + sum(block[2:]) for block in blocks)
    lines = "".join("\t".join(map(str, block)) + "\n" for block in blocks)
    return f"chain {score} {name} {sizes[0]} + {start} {end} {to} {sizes[1]} {strand} {other} {other_end} 1\n{lines}\n"


BOTH = chain([(30,)], 200, 0) + chain([(30,)], 100, 64444167 - 30, strand="-")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file: write(text, name="some.chain"), compressed where its name says so."""

    def write(text: str, name: str = "some.chain") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


@pytest.fixture
def normalizer(write: Any, write_fasta: Any) -> Normalizer:
    reference = Reference(write_fasta({"20": NEW}))
    return Normalizer(GRCH38, reference, lift=open_lift(write(BOTH), GRCH38, reference))


def place(lift: Lift, chrom: int, pos: int, bases: int = 1) -> tuple[int, int, bool] | str:
    """Where a locus lies, or why nowhere."""
    try:
        return lift.locus(chrom, pos, bases)[:3]
    except Rejected as why:
        return why.reason


GAPPED = [(10, 3, 0), (10, 0, 2), (10,)]  # 101-110, 111-113 deleted, 114-123, two bases inserted, 124-133


@pytest.mark.parametrize("name", ["some.chain", "some.chain.gz"])
def test_a_locus_lies_wholly_in_one_block_or_nowhere(write: Any, name: str) -> None:
    lift = read_lift(write("# comment\n" + chain(GAPPED, 100, 1000), name), GRCH38)
    assert [place(lift, 20, pos) for pos in (101, 110, 114, 123, 124, 133)] == [
        (20, p, False) for p in (1001, 1010, 1011, 1020, 1023, 1032)
    ]
    assert place(lift, 20, 101, 10) == (20, 1001, False)
    assert [place(lift, 20, pos, 2) for pos in (110, 113, 123, 133, 100)] == ["REF spans a gap between the assemblies"] * 5
    assert [place(lift, 20, pos) for pos in (111, 113)] == ["deleted in the other assembly"] * 2
    assert [place(lift, *locus) for locus in ((20, 100), (20, 134), (21, 101))] == ["not in the chain file"] * 3
    assert (lift.source, lift.target, lift.option["from"]) == (GRCH37, GRCH38, "GRCh37")


def test_on_the_reverse_strand_positions_are_counted_from_the_other_end(write: Any) -> None:
    lift = read_lift(write(chain(GAPPED, 100, 64444167 - 2000, strand="-")), GRCH38)
    assert [place(lift, 20, pos) for pos in (101, 110, 114, 133)] == [(20, p, True) for p in (2000, 1991, 1990, 1969)]
    assert place(lift, 20, 101, 3) == (20, 1998, True)
    assert lift.element(20, 101, 133) == (20, 1969, 2000)


def test_of_chains_that_overlap_the_best_counts_base_by_base(write: Any) -> None:
    best = chain([(20, 20, 0), (20,)], 120, 5000, score=900)  # 121-140, a gap, 161-180
    text = chain([(100,)], 100, 1000, score=10) + best + chain([(100,)], 100, 9000, score=9)
    lift = read_lift(write(text), GRCH38)
    assert [place(lift, 20, pos) for pos in (101, 121, 141, 161, 181)] == [(20, p, False) for p in (1001, 5001, 1041, 5021, 1081)]
    assert [place(lift, 20, pos, 2) for pos in (120, 140, 160)] == ["REF spans a gap between the assemblies"] * 3


def test_a_place_on_another_contig_and_hg19s_own_mt_are_no_places(write: Any) -> None:
    text = chain([(30,)], 100, 0, to="chrUn_KI270750v1") + chain([(30,)], 200, 0) + "chain 1 chrM 16571 + 0 9 chrM 16569 + 0 9 2\n9\n"
    lift = read_lift(write(text), GRCH38)
    assert place(lift, 20, 101) == "contig outside 1-22, X, Y, MT"
    assert place(lift, 20, 201) == (20, 1, False)
    with pytest.raises(Rejected, match="not in the chain file"):
        lift.locus(25, 1, name="chrM")


def test_mt_is_the_same_in_both_assemblies_unless_it_may_be_hg19s_own(write: Any) -> None:
    lift = read_lift(write(BOTH), GRCH38)
    assert (place(lift, 25, 16569), place(lift, 25, 16569, 2)) == ((25, 16569, False), "REF spans a gap between the assemblies")
    assert lift.locus(25, 7, 3, "MT")[:3] == (25, 7, False)
    assert lift.element(25, 1, 16569, "NC_012920.1") == (25, 1, 16569)
    for name in ("chrM", "M"):
        with pytest.raises(Rejected) as why:
            lift.element(25, 1, 100, name)
        assert why.value.args == (
            "not in the chain file",
            f"{name} of hg19 has coordinates of its own; where they are those of MT, call it MT",
        )
    back = read_lift(write(chain([(30,)], 0, 0, builds=(GRCH38, GRCH37))), GRCH37)
    assert back.locus(25, 7, name="chrM")[:3] == (25, 7, False)
    own = read_lift(write(BOTH + "chain 1 chrMT 16569 + 0 9 MT 16569 + 0 9 2\n9\n"), GRCH38)
    assert (place(own, 25, 9), place(own, 25, 10)) == ((25, 9, False), "not in the chain file")


def test_a_variant_of_mt_is_lifted_to_where_it_is(write: Any, write_fasta: Any) -> None:
    reference = Reference(write_fasta({"20": NEW, "chrM": NEW}))
    lifting = Normalizer(GRCH38, reference, lift=open_lift(write(BOTH), GRCH38, reference))
    assert lifting.normal(lifting.site("MT", "3", "G"), "A") == (25, 3, "G", "A")
    assert lifting.normal(lifting.site("MT", "15", "TA"), "T") == (25, 15, "TA", "T")
    assert lifting.position("MT", "16569")[:2] == (25, 16569)
    for at in (lambda: lifting.site("chrM", "3", "G"), lambda: lifting.position("chrM", "3")):
        with pytest.raises(Rejected, match="not in the chain file"):
            at()


HEADER = "chain 1 chr20 63025520 + 0 30 chr20 64444167 + 0 30 1\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\n# nothing\n", "no chain in it"),
        ("chr20 1 2\n", r"some.chain:1: not a chain file: 'chr20 1 2'"),
        (HEADER.replace("+ 0 30 chr20", "- 0 30 chr20", 1), "some.chain:1: not the header of a chain"),
        (HEADER.replace("30 chr20", "x chr20"), "some.chain:1: not the header of a chain"),
        (HEADER.replace("63025520", "29"), "some.chain:1: a chain that reaches beyond its chromosome"),
        (HEADER.replace(" + 0 30 1", ""), "some.chain:1: not the header of a chain"),
        (HEADER + "20 5\n10\n", "some.chain:2: not the size of a block"),
        (HEADER + "20 -1 0\n10\n", "some.chain:2: not the size of a block"),
        (HEADER + "20 0 0\n9\n", "some.chain:3: the blocks end at 29 and 29, where line 1 says 30 and 30"),
        (HEADER + "20 0 1\n10\n", "some.chain:3: the blocks end at 30 and 31"),
        (HEADER + "20 0 0\n", "some.chain:1: the file ends before this chain does"),
        (HEADER + "20 0 0\n" + HEADER + "30\n", "some.chain:3: the chain of line 1 has not ended here"),
        (HEADER + "30\n30\n", "some.chain:3: not a chain file"),
        (HEADER + "30\n" + HEADER.replace("chr20 63025520", "chr21 63025520") + "30\n", "some.chain:3: its chr21 has 63,025,520 bases; chromosome 21 of GRCh37"),
        (HEADER.replace("63025520", "64444167") + "30\n", "it leads from GRCh38 to GRCh38"),
        (HEADER.replace("63025520", "60000000") + "30\n", "it leads from an unknown assembly to GRCh38"),
        (HEADER.replace("64444167", "66210255") + "30\n", "it leads from GRCh37 to an unknown assembly"),
        (chain([(30,)], 0, 0, builds=(GRCH38, GRCH37)), "it leads from GRCh38 to GRCh37, .* the store holds GRCh38"),
    ],
)  # fmt: skip
def test_what_is_no_chain_file_or_of_other_assemblies_is_refused(write: Any, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_lift(write(text), GRCH38)


PARTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5)
CHAINS = st.lists(st.tuples(PARTS, st.integers(0, 30), st.integers(0, 30), st.integers(1, 3), st.booleans()), min_size=1, max_size=4)


def written(chains: list[tuple], inverted: bool = False) -> str:
    """Random chains as a file from GRCh37 to GRCh38, or the other way round."""
    text = ""
    for parts, start, other, score, reverse in chains:
        blocks: list[tuple[int, ...]] = [*parts[:-1], parts[-1][:1]]
        length, other_length = (sum(b[0] for b in blocks) + sum(sum(b[gap : gap + 1]) for b in blocks) for gap in (1, 2))
        low = 64444167 - other - other_length if reverse else other
        if not inverted:
            text += chain(blocks, start, low, score, strand="-" if reverse else "+")
        elif not reverse:
            text += chain([(b[0], *reversed(b[1:])) for b in blocks], other, start, score, builds=(GRCH38, GRCH37))
        else:
            # The last block comes first, and each gap stays between the blocks that it was between.
            sizes, gaps = [b[0] for b in reversed(blocks)], [b[:0:-1] for b in reversed(blocks[:-1])]
            turned = [(size, *gap) for size, gap in zip(sizes, [*gaps, ()], strict=True)]
            text += chain(turned, other, 63025520 - start - length, score, strand="-", builds=(GRCH38, GRCH37))
    return text


def walked(chains: list[tuple], pos: int) -> tuple[int, bool, tuple[int, int]] | None:
    """Where the best chain puts one base, by a walk along it: 1-based position, strand, and which block of which chain."""
    for n in sorted(range(len(chains)), key=lambda n: -chains[n][3]):
        parts, at, to, _, reverse = chains[n]
        length = sum(b[0] + b[2] for b in parts) - parts[-1][2]
        for number, (size, gap, other_gap) in enumerate(parts):
            if at < pos <= at + size:
                along = to + pos - at
                return (chains[n][2] * 2 + length + 1 - along if reverse else along), reverse, (n, number)
            at, to = at + size + gap, to + size + other_gap
    return None


@given(CHAINS, st.integers(1, 70), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_locus_is_where_a_walk_along_its_bases_finds_it(write: Any, chains: list[tuple], pos: int, bases: int) -> None:
    lift = read_lift(write(written(chains)), GRCH38)
    found = [walked(chains, each) for each in range(pos, pos + bases)]
    if None in found or len({each[2] for each in found if each}) > 1:
        assert isinstance(place(lift, 20, pos, bases), str)
    else:
        assert place(lift, 20, pos, bases) == (20, min(each[0] for each in found if each), found[0] and found[0][1])


@given(PARTS, st.integers(0, 30), st.integers(0, 30), st.booleans(), st.integers(1, 70), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_lifts_comes_back_with_the_inverted_chain(
    write: Any, parts: list, start: int, other: int, reverse: bool, pos: int, bases: int
) -> None:
    one = [(parts, start, other, 1, reverse)]
    there, back = read_lift(write(written(one)), GRCH38), read_lift(write(written(one, inverted=True)), GRCH37)
    found = place(there, 20, pos, bases)
    if not isinstance(found, str):
        assert place(back, 20, found[1], bases) == (20, pos, reverse)


OLD = "." * 100 + reverse_complement(NEW) + "." * 70 + NEW


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("20 201 T A", (1, "T", "A")),
        ("chr20 206 CAC C", (3, "GCA", "G")),
        ("20 101 c t", (30, "G", "A")),
        ("20 101 CA GT", (29, "TG", "AC")),
        ("20 121 CTG C", (3, "GCA", "G")),
        ("20 121 C CTG", (3, "G", "GCA")),
        ("20 115 T TA", (12, "G", "GT")),
        ("20 130 A AC", (1, "T", "GT")),
    ],
)
def test_alleles_are_lifted_with_their_strand_and_aligned_again(normalizer: Normalizer, row: str, expected: tuple) -> None:
    chrom, pos, ref, alt = row.split()
    assert OLD[int(pos) - 1 :].startswith(ref.upper())
    site = normalizer.site(chrom, pos, ref)
    assert normalizer.normal(site, alt.upper()) == (20, *expected)
    assert (site.swapped, site.source_locus(alt)) == (False, row.replace(" ", ":"))


@pytest.mark.parametrize(
    ("row", "expected"), [("20 201 A T", (1, "T", "A")), ("20 101 T C", (30, "G", "A")), ("20 121 TT CT", (10, "G", "A"))]
)
def test_where_the_alt_is_what_the_reference_has_they_are_swapped(normalizer: Normalizer, row: str, expected: tuple) -> None:
    chrom, pos, ref, alt = row.split()
    site = normalizer.site(chrom, pos, ref)
    assert (normalizer.normal(site, alt), site.swapped) == ((20, *expected), True)
    with pytest.raises(Rejected, match="REF differs from the reference"):
        normalizer.normal(site, alt + "A")


def test_without_a_lift_refs_are_swapped_where_that_is_asked_for(write_fasta: Any) -> None:
    reference = Reference(write_fasta({"20": NEW}))
    with pytest.raises(Rejected, match="REF differs from the reference"):
        Normalizer(GRCH38, reference).site("20", "1", "A")
    asked = Normalizer(GRCH38, reference, swaps=True)
    site = asked.site("20", "1", "A")
    assert (asked.normal(site, "T"), site.swapped, site.source_locus("T")) == ((20, 1, "T", "A"), True, None)
    assert not asked.site("20", "1", "T").swapped


@pytest.mark.parametrize(
    ("row", "expected", "swapped"),
    [
        ("20 5 AT A", (5, "A", "AT"), True),  # the reference has AC
        ("20 10 GAA G", (10, "G", "GAA"), True),
        ("20 4 T CA", (4, "CA", "T"), True),
        ("20 5 A AC", (5, "A", "AC"), False),  # it has AC, so it has both; any insertion into a repeat looks so
        ("20 13 T TT", (12, "G", "GT"), False),
        ("20 5 AC A", (5, "AC", "A"), False),
        ("20 5 AT G", None, False),
        ("20 30 A GAA", None, False),  # the reference ends
    ],
)
def test_alleles_of_unlike_length_are_swapped_where_the_reference_has_the_alt_alone(
    write_fasta: Any, row: str, expected: tuple | None, swapped: bool
) -> None:
    asked = Normalizer(GRCH38, Reference(write_fasta({"20": NEW})), swaps=True)
    chrom, pos, ref, alt = row.split()
    site = asked.site(chrom, pos, ref)
    if expected is None:
        with pytest.raises(Rejected, match="REF differs from the reference"):
            asked.normal(site, alt)
    else:
        assert (asked.normal(site, alt), site.swapped) == ((20, *expected), swapped)


@pytest.mark.parametrize("swaps", [False, True])
def test_of_unlike_length_nothing_that_is_lifted_is_swapped(write: Any, write_fasta: Any, swaps: bool) -> None:
    reference = Reference(write_fasta({"20": NEW}))
    lifting = Normalizer(GRCH38, reference, lift=open_lift(write(BOTH), GRCH38, reference), swaps=swaps)
    for row in ("20 205 AT A", "20 101 T CA", "20 125 TG T"):
        chrom, pos, ref, alt = row.split()
        with pytest.raises(Rejected, match="REF differs from the reference"):
            lifting.normal(lifting.site(chrom, pos, ref), alt)


def lifting(write: Any, write_fasta: Any, target: str, blocks: Blocks, reverse: bool) -> Normalizer:
    """Lifts from a stretch that begins at 20:201 to `target`, on the forward strand from 20:11 on."""
    sequence = reverse_complement(target) if reverse else target
    reference = Reference(write_fasta({"20": "T" * 10 + sequence}, f"{target}{reverse}.fa"))
    low = 64444167 - 10 - len(target) if reverse else 10
    path = write(chain(blocks, 200, low, strand="-" if reverse else "+"))
    return Normalizer(GRCH38, reference, lift=open_lift(path, GRCH38, reference))


def normal(normalizer: Normalizer, row: str) -> tuple[int, str, str] | str:
    """(pos, ref, alt) of `POS REF ALT`, or why there is none."""
    pos, ref, alt = row.split()
    try:
        return normalizer.normal(normalizer.site("20", pos, ref), alt)[1:]
    except Rejected as why:
        return why.reason


GAP = ("REF spans a gap between the assemblies", "deleted in the other assembly")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("before", [0, 2, 5])
@pytest.mark.parametrize("more", [False, True])
def test_an_indel_in_a_run_of_which_the_assemblies_have_more_or_fewer_is_rejected(
    write: Any, write_fasta: Any, more: bool, before: int, reverse: bool
) -> None:
    # 201 CGAAAAACTTG 211, with a base more or fewer in the run there; the chain has the gap before its first, a middle, or after its last base.
    shared = min(before, 4)
    target, blocks = ("CGAAAAAACTTG", [(2 + before, 0, 1), (9 - before,)]) if more else ("CGAAAACTTG", [(2 + shared, 1, 0), (8 - shared,)])
    normalizer = lifting(write, write_fasta, target, blocks, reverse)
    for row in ("202 G GA", "202 G GAA", "202 GA G", "202 GAA G", "203 AA A", "207 A AA", "206 A AA", "206 AA A", "207 A AAA"):
        assert normal(normalizer, row) in GAP[: 1 if more else 2]
    end = 10 + len(target)
    expected: dict[str, tuple] = {"201 C CT": (11, "C", "CT"), "208 C CT": (end - 3, "C", "CT"), "208 CT C": (end - 3, "CT", "C")}
    if reverse:
        expected = {"201 C CT": (end - 1, "C", "CA"), "208 C CT": (11, "C", "CA"), "208 CT C": (11, "CA", "C")}
    assert {row: normal(normalizer, row) for row in expected} == expected
    assert normal(normalizer, "202 G T") == ((end - 1, "C", "A") if reverse else (12, "G", "T"))


@pytest.mark.parametrize(("blocks", "expected"), [([(203, 0, 1), (2,)], GAP[0]), ([(205,)], (12, "G", "GAC"))])
def test_a_long_repeat_is_looked_at_to_its_end(write: Any, write_fasta: Any, blocks: Blocks, expected: tuple | str) -> None:
    target = "CG" + "AC" * 100 + ("ACT" if expected == GAP[0] else "ATT")
    assert normal(lifting(write, write_fasta, target + "T" * (len(blocks) > 1), blocks, False), "202 G GAC") == expected


INDELS = st.tuples(st.integers(0, 12), st.text("AC", max_size=2), st.integers(0, 2))


@given(st.text("AC", min_size=4, max_size=9), st.integers(2, 10), st.text("AC", max_size=2), st.integers(0, 2), INDELS, st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_indel_is_lifted_where_no_place_of_it_touches_a_gap(
    write: Any, write_fasta: Any, repeat: str, gap: int, more: str, fewer: int, indel: tuple[int, str, int], reverse: bool
) -> None:
    source = f"TG{repeat}GT"
    fewer = 0 if more else fewer
    at, inserted, deleted = indel
    deleted = 0 if inserted else deleted
    if (not more and not fewer) or (not inserted and not deleted) or gap + fewer >= len(source) - 1 or at + deleted >= len(source) - 1:
        return
    target = source[:gap] + more + source[gap + fewer :]
    blocks = [(gap, fewer, len(more)), (len(source) - gap - fewer,)]
    ref, alt = source[at : at + 1 + deleted], source[at] + inserted
    haplotype = source[:at] + alt + source[at + len(ref) :]
    # All ways to write the same indel: of each the base before it, and the one after it.
    ways = [
        (p, p + 1 + deleted)
        for p in range(len(source) - 1 - deleted)
        if source[: p + 1] + haplotype[p + 1 : p + 1 + len(inserted)] + source[p + 1 + deleted :] == haplotype
    ]
    first, last = min(ways)[0], max(ways)[1]
    found = normal(lifting(write, write_fasta, target, blocks, reverse), f"{201 + at} {ref} {alt}")
    if (first < gap <= last and not fewer) or (first < gap + fewer and last >= gap and fewer):
        assert found in GAP
        return
    assert not isinstance(found, str)
    pos, ref, alt = found
    sequence = "T" * 10 + (reverse_complement(target) if reverse else target)
    assert sequence[pos - 1 :].startswith(ref)
    changed = (sequence[: pos - 1] + alt + sequence[pos - 1 + len(ref) :])[10:]
    gap += len(alt) - len(ref) if at < gap else 0
    there = haplotype[:gap] + more + haplotype[gap + fewer :]
    assert (reverse_complement(changed) if reverse else changed) == there


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("20 63025521 A G", "position beyond the contig"),
        ("20 201 R A", "allele not of A, C, G, T, N"),
        ("20 201  A", "allele not of A, C, G, T, N"),
        ("20 201 A C", "REF differs from the reference"),
        ("20 101 C G[20:15[", "breakend"),
        ("20 101 C <DEL>", "symbolic ALT"),
        ("20 101 C C", "ALT equals REF"),
        ("20 229 TGA T", "REF spans a gap between the assemblies"),
        ("21 201 T A", "not in the chain file"),
    ],
)
def test_what_cannot_be_lifted_is_rejected_by_name(normalizer: Normalizer, row: str, reason: str) -> None:
    chrom, pos, ref, alt = row.split(" ")
    with pytest.raises(Rejected, match=reason):
        normalizer.normal(normalizer.site(chrom, pos, ref), alt)


def test_what_the_reference_does_not_have_is_not_lifted_unchecked(write: Any, write_fasta: Any) -> None:
    reference = Reference(write_fasta({"20": "N" * 30, "22": NEW}))
    lifting = Normalizer(GRCH38, reference, lift=open_lift(write(BOTH), GRCH38, reference))
    with pytest.raises(Rejected, match="REF not checked"):
        lifting.site("20", "201", "T")
