"""GTF: literal lines in, genes and transcripts out; every real file against another, plainer reading of it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.annotation_job import genes_job
from loaders.errors import InputError
from loaders.genes import attributes, read, statement
from loaders.run import Outcome, ingest
from store import release
from store.assembly import GRCH37, GRCH38
from store.copy import Reject
from store.load import AlreadyLoaded
from tests.conftest import REAL

Conn = psycopg.Connection[Any]
GTFS = sorted([*REAL.rglob("*.gtf.gz"), *(REAL.parent / "demo").glob("*.gtf.gz")])

GENCODE = """##description: evidence-based annotation of the human genome (GRCh38), version 46 (Ensembl 112)
chr20\tHAVANA\tgene\t1894167\t1940592\t.\t+\t.\tgene_id "ENSG00000198053.12"; gene_type "protein_coding"; gene_name "SIRPA"; level 2; tag "overlaps_pseudogene";
chr20\tHAVANA\ttranscript\t1895365\t1940592\t.\t+\t.\tgene_id "ENSG00000198053.12"; transcript_id "ENST00000358771.5"; gene_type "protein_coding"; gene_name "SIRPA"; transcript_type "protein_coding"; transcript_name "SIRPA-203"; level 2; protein_id "ENSP00000351621.4"; tag "basic"; tag "Ensembl_canonical"; tag "MANE_Select";
chr20\tHAVANA\texon\t1914809\t1915162\t.\t+\t.\tgene_id "ENSG00000198053.12"; transcript_id "ENST00000358771.5"; exon_number 2;
chr20\tHAVANA\tCDS\t1914809\t1915162\t.\t+\t0\tgene_id "ENSG00000198053.12"; transcript_id "ENST00000358771.5"; exon_number 2;
chr20\tHAVANA\texon\t1895365\t1895543\t.\t+\t.\tgene_id "ENSG00000198053.12"; transcript_id "ENST00000358771.5"; exon_number 1;
chr20\tHAVANA\tCDS\t1895465\t1895543\t.\t+\t0\tgene_id "ENSG00000198053.12"; transcript_id "ENST00000358771.5"; exon_number 1;
chrY\tENSEMBL\tgene\t276322\t303356\t.\t-\t.\tgene_id "ENSG00000182378.15_PAR_Y"; gene_type "protein_coding"; gene_name "PLCXD1";
chrUn_KI270750v1\tENSEMBL\tgene\t1\t100\t.\t-\t.\tgene_id "ENSG00000000001.1"; gene_type "miRNA"; gene_name "X";
"""


def read_text(tmp_path: Path, text: str, build=GRCH38) -> tuple[list[dict], list[dict], list[Reject]]:
    """Genes, transcripts and rejects of a GTF text."""
    path = tmp_path / "some.gtf"
    path.write_text(text)
    chunk = list(read(path, build))[-1]
    return chunk.tables["gene"].to_pylist(), chunk.tables["transcript"].to_pylist(), chunk.rejects


def test_gencode_lines_become_a_gene_and_a_transcript_with_its_exons_in_genome_order(tmp_path: Path) -> None:
    genes, transcripts, rejects = read_text(tmp_path, GENCODE)
    assert genes == [
        {
            "gene_id": "ENSG00000198053", "version": "12", "symbol": "SIRPA", "chrom": 20, "start_pos": 1894167, "end_pos": 1940592, "strand": 1,
            "biotype": "protein_coding", "description": None,
        },
        {
            "gene_id": "ENSG00000182378_PAR_Y", "version": "15", "symbol": "PLCXD1", "chrom": 24, "start_pos": 276322, "end_pos": 303356,
            "strand": -1, "biotype": "protein_coding", "description": None,
        },
    ]  # fmt: skip
    assert transcripts == [
        {
            "transcript_id": "ENST00000358771", "version": "5", "gene_id": "ENSG00000198053", "name": "SIRPA-203", "chrom": 20,
            "start_pos": 1895365, "end_pos": 1940592, "strand": 1, "biotype": "protein_coding", "cds_start": 1895465, "cds_end": 1915162,
            "exon_starts": [1895365, 1914809], "exon_ends": [1895543, 1915162], "canonical": True, "mane": "SELECT",
            "protein_id": "ENSP00000351621.4",
        },
    ]  # fmt: skip
    assert [(r.line, r.reason, r.detail) for r in rejects] == [(9, "contig outside 1-22, X, Y, MT", "chrUn_KI270750v1")]


# As NCBI's GCF_000001405.40_GRCh38.p14_genomic.gtf.gz writes it: a synonym once for each, none on transcripts.
REFSEQ = """#gtf-version 2.2
#!genome-build GRCh38.p14
#!genome-build-accession NCBI_Assembly:GCF_000001405.40
NC_000020.11\tBestRefSeq\tgene\t1113263\t1189415\t.\t+\t.\tgene_id "PSMF1"; transcript_id ""; db_xref "GeneID:9491"; db_xref "HGNC:HGNC:9571"; description "proteasome inhibitor subunit 1"; gbkey "Gene"; gene "PSMF1"; gene_biotype "protein_coding"; gene_synonym "PI31"; gene_synonym "hPI31; long"; gene_synonym "psmf1"; gene_synonym "pi31";
NC_000020.11\tBestRefSeq\ttranscript\t1113263\t1189415\t.\t+\t.\tgene_id "PSMF1"; transcript_id "NM_006814.5"; gene "PSMF1"; gbkey "mRNA"; product "proteasome inhibitor subunit 1";
NC_000020.11\tBestRefSeq\tgene\t1894167\t1940592\t.\t+\t.\tgene_id "SIRPA"; transcript_id ""; gene "SIRPA"; gene_synonym "PI31";
NC_000020.11\tBestRefSeq\tgene\t2094167\t2140592\t.\t+\t.\tgene_id "STK35"; transcript_id ""; gene "STK35";
"""


def test_the_synonyms_of_refseq_are_aliases(tmp_path: Path) -> None:
    path = tmp_path / "some.gtf"
    path.write_text(REFSEQ)
    tables = list(read(path, GRCH38))[-1].tables
    assert [(row["alias"], row["gene_id"]) for row in tables["gene_alias"].to_pylist()] == [
        ("HPI31; LONG", "PSMF1"), ("PI31", "PSMF1"), ("PI31", "SIRPA"),
    ]  # fmt: skip
    assert tables["gene"].column("symbol").to_pylist() == ["PSMF1", "SIRPA", "STK35"]
    path.write_text(GENCODE)
    assert "gene_alias" not in list(read(path, GRCH38))[-1].tables


def test_aliases_have_no_space_around_them_and_are_not_longer_than_an_index_takes(grch38: Conn, tmp_path: Path) -> None:
    path = tmp_path / "some.gtf"
    kept = "é" * 200
    path.write_text(REFSEQ.replace('"pi31"', f'" pi31 "; gene_synonym "  "; gene_synonym "{"x" * 3000}"; gene_synonym "{kept}"'))
    outcome = load(grch38, path)
    assert isinstance(outcome, Outcome)
    assert outcome.load.skipped == {"aliases of more than 200 characters": 1}
    aliases = grch38.execute("SELECT alias FROM gene_alias WHERE gene_id = 'PSMF1' ORDER BY alias COLLATE \"C\"").fetchall()
    assert aliases == [("HPI31; LONG",), ("PI31",), (kept.upper(),)]


def test_aliases_are_written_and_taken_out_with_their_genes(grch38: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "refseq.gtf"
    path.write_text(REFSEQ)
    outcome = load(grch38, path)
    assert isinstance(outcome, Outcome)
    assert outcome.load.counts["gene_alias"] == 3
    assert grch38.execute("SELECT gene_id FROM gene_alias WHERE alias = 'PI31' ORDER BY gene_id").fetchall() == [("PSMF1",), ("SIRPA",)]
    release.unload(grch38, outcome.load.load_id)
    monkeypatch.setattr(release, "LONGEST_REQUEST", "0 seconds")
    release.purge(grch38)
    assert grch38.execute("SELECT count(*) FROM gene_alias").fetchone() == (0,)


def test_ensembl_writes_versions_apart_and_protein_ids_on_the_cds(tmp_path: Path) -> None:
    genes, transcripts, _ = read_text(
        tmp_path,
        '20\thavana\tgene\t100\t200\t.\t-\t.\tgene_id "ENSG00000000005"; gene_version "6"; gene_biotype "lncRNA";\n'
        '20\thavana\ttranscript\t100\t200\t.\t-\t.\tgene_id "ENSG00000000005"; transcript_id "ENST00000373031"; transcript_version "4"; '
        'transcript_biotype "retained_intron"; tag "MANE_Plus_Clinical";\n'
        '20\thavana\tCDS\t120\t150\t.\t-\t0\tgene_id "ENSG00000000005"; transcript_id "ENST00000373031"; protein_id "ENSP00000362122";\n',
    )
    assert (genes[0]["version"], genes[0]["symbol"], genes[0]["biotype"]) == ("6", "ENSG00000000005", "lncRNA")
    row = transcripts[0]
    assert (row["version"], row["biotype"], row["protein_id"], row["mane"], row["canonical"]) == (
        "4", "retained_intron", "ENSP00000362122", "PLUS_CLINICAL", False
    )  # fmt: skip
    assert row["exon_starts"] == []


def test_genes_and_transcripts_without_a_line_are_made_from_their_exons(tmp_path: Path) -> None:
    exon = '20\tx\texon\t{}\t{}\t.\t+\t.\tgene_id "G1"; transcript_id "{}"; gene_name "MINE";\n'
    genes, transcripts, _ = read_text(tmp_path, exon.format(500, 600, "T1") + exon.format(100, 200, "T1") + exon.format(50, 60, "T2"))
    assert [(g["gene_id"], g["symbol"], g["start_pos"], g["end_pos"]) for g in genes] == [("G1", "MINE", 50, 600)]
    assert [(t["transcript_id"], t["start_pos"], t["end_pos"], t["exon_starts"]) for t in transcripts] == [
        ("T1", 100, 600, [100, 500]),
        ("T2", 50, 60, [50]),
    ]


def test_a_second_place_of_a_transcript_is_rejected_with_the_line_of_the_first(tmp_path: Path) -> None:
    line = '20\tx\t{}\t{}\t{}\t.\t+\t.\tgene_id "G1"; transcript_id "T1";\n'
    _, transcripts, rejects = read_text(
        tmp_path,
        line.format("transcript", 100, 200)
        + line.format("exon", 100, 200)
        + line.format("transcript", 900, 950)
        + line.format("exon", 900, 950)
        + line.format("exon", 100, 200).replace("20\t", "X\t", 1),
    )
    assert [(t["start_pos"], t["end_pos"], t["exon_starts"]) for t in transcripts] == [(100, 200, [100])]
    assert {(r.line, r.reason) for r in rejects} == {
        (3, "transcript that has a place already"),
        (4, "exon outside its transcript"),
        (5, "exon on another chromosome or strand than its transcript"),
    }


def test_lines_that_are_not_right_are_rejected_one_by_one(tmp_path: Path) -> None:
    bad = [
        "20\tx\texon\t5",
        '20\tx\texon\t9\t8\t.\t+\t.\ttranscript_id "T";',
        '20\tx\texon\t8\t9\t.\t.\t.\ttranscript_id "T";',
        '20\tx\tgene\t8\t9\t.\t+\t.\tname "T";',
    ]
    genes, _, rejects = read_text(tmp_path, GENCODE + "\n".join(bad) + "\n")
    assert len(genes) == 2
    assert [(r.line, r.reason) for r in rejects[1:]] == [
        (10, "malformed line"),
        (11, "malformed line"),
        (12, "no strand"),
        (13, "malformed line"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chr20\t100\t200\tname\n", "not a GTF: 4 columns"),
        ("##gff-version 3\nchr20\tx\tgene\t1\t9\t.\t+\t.\tID=gene:ENSG1;Name=A\n", "not a GTF: no gene_id"),
        ('chrUn\tx\tgene\t1\t9\t.\t+\t.\tgene_id "A";\n', "no gene, transcript or exon"),
        ('20\tx\tgene\t1\t64444168\t.\t+\t.\tgene_id "A";\n', "beyond the end of chromosome 20 of GRCh38"),
    ],
)
def test_a_file_that_is_no_gtf_or_of_another_assembly_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_text(tmp_path, text)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8).filter(lambda key: key != "tag")
QUOTED = st.text(st.characters(codec="ascii", exclude_characters='"\\\t\n\r', min_codepoint=32, max_codepoint=126), max_size=12)
BARE = st.from_regex(r"[A-Za-z0-9_.:-]{1,8}", fullmatch=True)


@given(st.dictionaries(NAMES, st.tuples(st.booleans(), QUOTED, BARE), max_size=6), st.lists(BARE, max_size=4), st.booleans())
def test_attributes_are_read_quoted_or_not_with_semicolons_inside(
    values: dict[str, tuple[bool, str, str]], tags: list[str], ended: bool
) -> None:
    parts = [f'{key} "{quoted}"' if is_quoted else f"{key} {bare}" for key, (is_quoted, quoted, bare) in values.items()]
    parts += [f'tag "{tag}"' for tag in tags]
    found, found_tags = attributes("; ".join(parts) + (";" if ended else ""))
    assert found == {key: quoted if is_quoted else bare for key, (is_quoted, quoted, bare) in values.items()}
    assert found_tags == {"tag": set(tags), "gene_synonym": set()}


def test_back_mapped_gencode_is_of_the_assembly_it_was_mapped_to(tmp_path: Path) -> None:
    path = tmp_path / "some.gtf"
    path.write_text("##description: annotation of the human genome (GRCh38), version 46, mapped to GRCh37 with gencode-backmap\nx\n")
    assert "GRCh38" not in statement(path)
    assert "GRCh37" in statement(path)


def load(conn: Conn, path: Path, **options: Any) -> Outcome | AlreadyLoaded:
    """Loads a file as `vkg load genes` does."""
    job, read_chunks = genes_job(conn, path, **options)
    return ingest(conn, job, read_chunks)


@pytest.fixture
def gencode(tmp_path: Path) -> Path:
    """A small file of GENCODE."""
    path = tmp_path / "gencode.v46.gtf.gz"
    path.write_bytes(gzip.compress(GENCODE.encode()))
    return path


def test_a_load_is_visible_at_once_and_the_same_file_again_is_a_no_op(grch38: Conn, gencode: Path) -> None:
    outcome = load(grch38, gencode)
    assert isinstance(outcome, Outcome)
    assert (outcome.load.dataset, outcome.load.counts["gene"], outcome.load.counts["transcript"]) == ("gencode.v46", 2, 1)
    assert outcome.load.load_id in release.current(grch38).loads
    assert outcome.load.reasons == {"contig outside 1-22, X, Y, MT": 1}
    assert grch38.execute("SELECT symbol FROM gene ORDER BY chrom").fetchall() == [("SIRPA",), ("PLCXD1",)]
    assert isinstance(load(grch38, gencode), AlreadyLoaded)


def test_an_annotation_of_another_or_an_unknown_assembly_is_refused(grch37: Conn, gencode: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is of GRCh38"):
        load(grch37, gencode)
    silent = tmp_path / "silent.gtf"
    silent.write_text(GENCODE.partition("\n")[2])
    with pytest.raises(InputError, match="nothing in the file tells its assembly"):
        load(grch37, silent)
    assert release.loads(grch37) == []
    assert isinstance(load(grch37, silent, assembly="hg19", hold=True), Outcome)
    assert release.current(grch37).loads == []


def plainly(path: Path) -> tuple[dict[str, tuple], dict[str, tuple]]:
    """Genes {id: (symbol, contig, start, end, strand)} and transcripts {id: (gene, start, end, exons, cds)} as written, first places only."""
    genes: dict[str, tuple] = {}
    spans: dict[str, list] = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        if line.startswith("#"):
            continue
        contig, _, kind, start, end, _, strand, _, text = line.rstrip("\n").split("\t")
        said = dict(re.findall(r'(\w+) "([^"]*)"', text))
        place = (int(start), int(end))
        if kind == "gene":
            genes.setdefault(said["gene_id"], (said["gene_name"], contig, *place, strand))
        elif kind in ("transcript", "exon", "CDS"):
            mine = spans.setdefault(said["transcript_id"], [said["gene_id"], None, set(), []])
            if kind == "transcript":
                mine[1] = mine[1] or place
            elif kind == "exon":
                mine[2].add(place)
            else:
                mine[3].append(place)
    transcripts = {}
    for key, (gene, span, exons, cds) in spans.items():
        exons, cds = ([p for p in parts if span[0] <= p[0] and p[1] <= span[1]] for parts in (exons, cds))
        transcripts[key] = (gene, *span, sorted(exons), (min(c[0] for c in cds), max(c[1] for c in cds)) if cds else None)
    return genes, transcripts


@pytest.mark.requires_real
@pytest.mark.parametrize("path", GTFS, ids=[path.name for path in GTFS])
def test_a_real_file_read_plainly_says_the_same(path: Path) -> None:
    genes, transcripts = plainly(path)
    chunk = list(read(path, GRCH38 if "38" in path.name else GRCH37))[-1]
    signs = {1: "+", -1: "-"}

    def full(identifier: str, version: str | None) -> str:
        return f"{identifier}.{version}" if version else identifier

    found = {full(g["gene_id"], g["version"]): g for g in chunk.tables["gene"].to_pylist()}
    for key, (symbol, contig, start, end, strand) in genes.items():
        gene = found[key]
        assert (gene["symbol"], str(gene["chrom"]), gene["start_pos"], gene["end_pos"], signs[gene["strand"]]) == (
            symbol, contig.removeprefix("chr"), start, end, strand
        )  # fmt: skip
    assert {full(t["transcript_id"], t["version"]) for t in chunk.tables["transcript"].to_pylist()} == set(transcripts)
    for row in chunk.tables["transcript"].to_pylist():
        gene, start, end, exons, cds = transcripts[full(row["transcript_id"], row["version"])]
        assert row["gene_id"] == (gene.partition(".")[0] if gene.startswith("ENSG") else gene)
        assert (row["start_pos"], row["end_pos"], list(zip(row["exon_starts"], row["exon_ends"], strict=True))) == (start, end, exons)
        assert (row["cds_start"], row["cds_end"]) == (cds or (None, None))
    for key in found.keys() - genes.keys():
        parts = [t for t in transcripts.values() if t[0] == key]
        assert (found[key]["start_pos"], found[key]["end_pos"]) == (min(t[1] for t in parts), max(t[2] for t in parts))


@pytest.mark.requires_real
def test_gencodes_chromosome_22_is_whole(real: Path) -> None:
    path = real / "chr22_grch37/gencode.v19.annotation.chr22.gtf.gz"
    chunk = list(read(path, GRCH37))[-1]
    # 1,206 gene lines, and 16 genes of which this copy of the file has only transcripts.
    assert (chunk.tables["gene"].num_rows, chunk.tables["transcript"].num_rows, len(chunk.rejects)) == (1222, 4360, 0)
    assert sum(map(len, chunk.tables["transcript"].column("exon_starts").to_pylist())) == 26771


def test_a_position_of_any_number_of_digits_is_rejected(tmp_path: Path) -> None:
    rejects = read_text(tmp_path, GENCODE + f'chr1\tx\tgene\t1\t{"9" * 5000}\t.\t+\t.\tgene_id "G";\n')[2]
    assert rejects[-1].reason == "malformed line"
    assert len(rejects[-1].detail) < 100


def test_what_is_held_in_memory_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.genes.MOST_HELD", 5)
    with pytest.raises(InputError, match=r"more than 5 genes, transcripts and lines of no use"):
        read_text(tmp_path, GENCODE + "HSCHR1\tx\tgene\t1\t2\t.\t+\t.\t\n" * 9)


def test_a_long_text_in_attributes_takes_no_time_to_speak_of() -> None:
    """Two million characters: the square of that would be hours."""
    said, several = attributes(f'{"x" * 2_000_000} gene_id "G;1"; {" " * 1000}tag "a";tag b; {"y" * 2_000_000}')
    assert said == {"gene_id": "G;1"}
    assert several["tag"] == {"a", "b"}
