"""`vkg embed --proteins FASTA`: sequences by accession, and vectors of a tiny ESM-2 against transformers' own forward, peptides cut by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EsmModel, EsmTokenizer

from embedder import models as sequence_models
from embedder.batches import embed, pairs
from embedder.errors import EmbedderError
from embedder.peptides import peptides
from embedder.pooling import Pooling
from embedder.proteins import Proteins
from embedder.windows import Window
from tests.embedder.annotated import ann, csq, write
from tests.embedder.asked import Command, models, refused
from tests.embedder.encoders import bert
from tests.embedder.stores import bits, fill, keys_by_position, small_model
from tests.embedder.test_huggingface import AMINO_ACIDS, SIX_MERS, esm
from tests.graph.loading import load_vcf
from tests.store.vectors import Conn, stored

FIRST = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVVHSLAKWKRQTLGQHDFSAGEGLYTHMKALRPDEDRLSPLHSVYVDQWDW"
SECOND = "MVHLTPEEKSAVTALWGKVNVDEVGGEALGRLLVVYPWTQRFFESFGDLSTPDAVMGNPKVKAHGKKVLGAFSDGLAHLDNLKGTFATLSELHCDKLHVDPENFRLLGNVLVCVLAHHFG"
FASTA = f">ENSP00000000001.3 pep chromosome:GRCh37 gene:ENSG00000000001\n{FIRST[:60]}\n{FIRST[60:]}*\n>sp|P68871|HBB_HUMAN Hemoglobin\n{SECOND.lower()}\n"


def fasta(folder: Path, text: str = FASTA) -> Path:
    path = folder / "pep.fa"
    path.write_text(text)
    return path


# ---- sequences by accession


@pytest.mark.parametrize("compressed", [False, True])
def test_sequences_as_the_file_has_them(tmp_path: Path, compressed: bool) -> None:
    path = fasta(tmp_path)
    if compressed:  # by gzip, not bgzip
        path = tmp_path / "pep.fa.gz"
        path.write_bytes(gzip.compress(FASTA.encode()))
    found = Proteins(path)
    assert found.names == ["ENSP00000000001.3", "P68871"]
    assert found.sequence("ENSP00000000001.3") == FIRST
    assert found.sequence("P68871") == SECOND
    assert found.digest == Proteins(fasta(tmp_path)).digest
    assert not list(tmp_path.glob("*.fai"))


@pytest.mark.parametrize(
    ("record", "asked", "there"),
    [
        ("ENSP00000357654.3", "ENSP00000357654.3", True),
        ("ENSP00000357654.3", "ENSP00000357654", True),
        ("ENSP00000357654", "ENSP00000357654.3", True),
        ("ENSP00000357654.4", "ENSP00000357654.3", False),  # another version is another sequence
        ("ENSP00000357654.3", "ENSP00000357655.3", False),
        ("NP_000509.1", "NP_000509.1", True),
        ("NP_000509.1", "NP_000509", True),
        ("NP_000509", "NP_000509.2", True),
        ("NP_000509.1", "NP_000509.2", False),
        ("XP_011518.1", "XP_011518.1", True),
        ("gi|4504349|ref|NP_000509.1|", "NP_000509.1", True),
        ("sp|P68871|HBB_HUMAN", "P68871", True),
        ("tr|A0A024R161|A0A024R161_HUMAN", "A0A024R161", True),
        ("sp|P68871-2|HBB_HUMAN", "P68871-2", True),
        ("sp|P68871-2|HBB_HUMAN", "P68871", False),  # an isoform is another protein
        ("P68871", "P68871", True),
        ("ENSP00000493376.2|ENST00000641515.2|ENSG00000186092.7|OTTHUMG00000001094.4|-|OR4F5-201|OR4F5|326", "ENSP00000493376.2", True),
        ("ENSP00000493376.2|ENST00000641515.2|ENSG00000186092.7|OTTHUMG00000001094.4|-|OR4F5-201|OR4F5|326", "ENST00000641515", True),
        ("ENSP00000493376.2|ENST00000641515.2|ENSG00000186092.7", "ENSG00000186092.7", False),
        ("my.protein", "my.protein", True),
        ("my.protein", "my", False),
    ],
)  # fmt: skip
def test_records_are_found_by_accession(tmp_path: Path, record: str, asked: str, there: bool) -> None:
    found = Proteins(fasta(tmp_path, f">{record} description\n{FIRST}\n"))
    assert found.sequence(asked) == (FIRST if there else None)


ENSEMBLS = "pep chromosome:GRCh38:7:142847306:142847317:1 gene:ENSG00000282253.1 transcript:{} gene_biotype:protein_coding"


def test_transcripts_of_ensembls_descriptions_are_names_too(tmp_path: Path) -> None:
    path = fasta(tmp_path, f">ENSP00000488240.1 {ENSEMBLS.format('ENST00000631435.2')}\n{FIRST}\n")
    found = Proteins(path)
    assert found.names == ["ENSP00000488240.1", "ENST00000631435.2"]
    assert found.sequence("ENST00000631435.2") == found.sequence("ENST00000631435") == found.sequence("ENSP00000488240") == FIRST
    assert found.sequence("ENST00000631435.1") is None
    assert found.sequence("ENSG00000282253.1") is None
    digest = found.digest
    assert Proteins(fasta(tmp_path, path.read_text().replace("631435.2", "631435.3"))).digest != digest
    assert Proteins(fasta(tmp_path, f">my.protein {ENSEMBLS.format('ENST00000631435.2')}\n{FIRST}\n")).names == ["my.protein"]


def test_transcripts_of_refseq_are_in_no_fasta_of_proteins(tmp_path: Path) -> None:
    found = Proteins(fasta(tmp_path, f">NP_000509.1\n{FIRST}\n"))
    with pytest.raises(EmbedderError, match=r"(?s)looked for: NM_000518.5, NM_000519.4 .*proteins alone \(NP_\).*VEP"):
        found.check(["NM_000518.5", "NM_000519.4"])
    with pytest.raises(EmbedderError, match=r"pep\.all\.fa\.gz"):
        found.check(["NM_000518.5", "ENST00000000001.1"])
    Proteins(fasta(tmp_path, f">NP_000509.1|NM_000518.5\n{FIRST}\n")).check(["NM_000518.5"])  # as the message advises


def test_letters_that_are_no_residues_are_unknown_and_the_last_stop_is_none(tmp_path: Path) -> None:
    assert Proteins(fasta(tmp_path, ">a\nmk*J-v1?W*\n>b\nMK\n")).sequence("a") == "MKXXXVXXW"


def test_digests_tell_sequences_and_names_apart(tmp_path: Path) -> None:
    digests = [Proteins(fasta(tmp_path, text)).digest for text in (">a\nMK\n", ">a\nMKV\n", ">b\nMK\n", ">a\nM\nK\n", ">a\nMK\n>b\nMK\n")]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">a\nACGT\n>b\nACGTNNACGU\n", "holds bases, not residues"),
        ("", "holds no sequence"),
        (">a\n\n", "holds no sequence"),
        ("hello\nworld\n", "holds no sequence"),
        ("@a\nMKV\n+\nIII\n", r"a FASTQ, not a FASTA of proteins \(record a\)"),
    ],
)
def test_files_that_hold_no_proteins_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EmbedderError, match=f"pep.fa: {said}"):
        Proteins(fasta(tmp_path, text))


def test_files_that_are_not_there_or_not_whole_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "none.fa"):
        with pytest.raises(EmbedderError, match="no such FASTA of proteins"):
            Proteins(path)
    damaged = tmp_path / "damaged.fa.gz"
    damaged.write_bytes(gzip.compress(FASTA.encode() * 50)[:-20])
    with pytest.raises(EmbedderError, match=r"cannot be read.*\n.*cut off"):
        Proteins(damaged)
    assert capfd.readouterr().err == ""


# ---- from the file to the row


@pytest.fixture(scope="module")
def esm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny ESM-2."""
    return esm(tmp_path_factory.mktemp("protein") / "esm2", AMINO_ACIDS, "rotary", token_dropout=True)


P1, P2, NOWHERE = "ENSP00000000001.3", "P68871", "ENSP00000009999.1"


def coding(change: str, protein: str = P1, terms: str = "missense_variant", impact: str = "MODERATE", **fields: str) -> str:
    return csq(terms, impact, HGVSp=f"{protein}:{change}", **fields)


# Position, entries, and what the protein's peptide becomes with 16 residues on either side: (its first residue, REF, ALT, spans), or the reason.
F = 16
SPANS = tuple[tuple[int, int], tuple[int, int]]
CASES: list[tuple[int, list[str], tuple[str, str, SPANS] | str]] = [
    (1_896_000, [coding("p.Val55Ile")], (FIRST[38:71], FIRST[38:54] + "I" + FIRST[55:71], ((16, 17), (16, 17)))),
    (1_896_010, [coding("p.Glu7Val", P2)], (SECOND[:23], SECOND[:6] + "V" + SECOND[7:23], ((6, 7), (6, 7)))),
    # Mutant and reference read on at their right, and the stop is the loss of what follows.
    (1_896_020, [coding("p.Gly50_Glu52del", terms="inframe_deletion")], (FIRST[34:67], FIRST[34:49] + FIRST[52:70], ((15, 18), (15, 15)))),
    (1_896_030, [coding("p.Gly50dup", terms="inframe_insertion")], (FIRST[34:67], FIRST[34:50] + "G" + FIRST[50:66], ((16, 16), (16, 17)))),
    (1_896_040, [coding("p.Gly50_Ala51insTrpTrp", terms="inframe_insertion")], (FIRST[34:67], FIRST[34:50] + "WW" + FIRST[50:65], ((16, 16), (16, 18)))),
    (1_896_050, [coding("p.Gly50_Ala51delinsTrp", terms="inframe_deletion")], (FIRST[33:66], FIRST[33:49] + "W" + FIRST[51:67], ((16, 18), (16, 17)))),
    (1_896_060, [coding("p.Gly50Ter", terms="stop_gained", impact="HIGH")], (FIRST[33:66], FIRST[33:49], ((16, 33), (16, 16)))),
    # The most severe one that has a sequence, and of equally severe ones the transcript that the annotator prefers.
    (1_896_070, [coding("p.Lys53Asn", P1), coding("p.Trp38Ter", NOWHERE, "stop_gained", "HIGH"), csq("splice_donor_variant", "HIGH"),
                 coding("p.Lys54Asn", P1, MANE_SELECT="NM_1.1"), coding("p.Lys53Arg", P1, CANONICAL="YES")], "PEPTIDE_MISMATCH"),
    (1_896_080, [coding("p.Lys53Asn"), coding("p.Lys53Arg", CANONICAL="YES"), coding("p.Lys53Gln", MANE_SELECT="NM_1.1")],
     (FIRST[36:69], FIRST[36:52] + "Q" + FIRST[53:69], ((16, 17), (16, 17)))),
    (1_896_090, [coding("p.Lys53Asn"), coding("p.Lys53ArgfsTer3", terms="frameshift_variant", impact="HIGH")], "FRAMESHIFT"),
    (1_896_100, [coding("p.Ter120GlnextTer?", terms="stop_lost", impact="HIGH")], "EXTENSION"),
    (1_896_110, [coding("p.Met1?", terms="start_lost", impact="HIGH")], "START_LOST"),
    (1_896_120, [coding("p.Gly50=", terms="synonymous_variant", impact="LOW")], "SYNONYMOUS"),
    (1_896_130, [coding("p.?")], "UNKNOWN_CHANGE"),
    (1_896_140, [coding("p.Gly50[23]")], "NOT_EXACT"),
    (1_896_150, [coding("p.Trp50Ala")], "PEPTIDE_MISMATCH"),
    (1_896_160, [coding("p.Gly50Ala", NOWHERE)], "NO_PEPTIDE"),
    (1_896_170, [coding("p.Gly50Ala", "ENSP00000000001.4")], "NO_PEPTIDE"),
    (1_896_180, [csq("intron_variant")], "NO_PROTEIN_CHANGE"),
    (1_896_190, [], "NO_PROTEIN_CHANGE"),
    (1_896_200, [coding("p.Gly50_Ala51ins" + "Trp" * 40)], "TOO_LONG"),
]  # fmt: skip
ROWS = [(pos, entries) for pos, entries, _ in CASES]
MADE = {pos: made for pos, _, made in CASES if not isinstance(made, str)}


def pooled(folder: Path, peptide: str, span: tuple[int, int], pooling: str) -> np.ndarray:
    """A peptide's vector by transformers alone, in float32 and one peptide at a time: of all residues, or of those of the span or beside it."""
    given = EsmTokenizer.from_pretrained(folder)(peptide, return_tensors="pt")
    with torch.inference_mode():
        states = EsmModel.from_pretrained(folder, add_pooling_layer=False).eval()(**given).last_hidden_state[0, 1:-1]
    assert len(states) == len(peptide)
    if pooling == "variant":
        begin, end = span if span[0] < span[1] else (span[0] - 1, span[0] + 1)
        states = states[begin:end]
    return states.mean(0).numpy()


@pytest.mark.parametrize("pooling", ["variant", "mean"])
def test_vectors_of_peptides_and_reasons_of_those_without(
    store: Conn, url: str, command: Command, esm2: Path, tmp_path: Path, pooling: str
) -> None:
    fill(url, [])
    load_vcf(url, write(tmp_path / "a.vcf", ROWS), dataset="a", version="1")
    path = fasta(tmp_path)
    asked = ("embed", "--model", f"hf:{esm2}", "--proteins", str(path), "--name", "esm", "--device", "cpu", "--flank", str(F))
    if pooling != "variant":
        asked += ("--pooling", pooling)
    said = command(*asked)
    assert said.err == ""
    assert said.out.splitlines() == [
        f"esm: {len(MADE)} variants embedded, {len(MADE)} in all",
        "  without a vector: 2: the FASTA has no sequence of the protein that HGVSp names, or one of another version",
        "  without a vector: 2: no visible consequence gives a change of a protein (HGVSp)",
        "  without a vector: 2: HGVSp differs from the protein's sequence",
        "  without a vector: 1: stop lost: HGVSp does not give the residues that follow",
        "  without a vector: 1: frameshift: HGVSp does not give the new residues",
        "  without a vector: 1: HGVSp cannot be applied to a sequence exactly",
        "  without a vector: 1: start lost: where translation begins instead is not known",
        "  without a vector: 1: the protein does not change",
        "  without a vector: 1: an allele is longer than the window",
        "  without a vector: 1: HGVSp says that the change is not known",
    ]
    keys, found = keys_by_position(store), stored(store, "esm")
    assert list(found) == sorted(keys[pos] for pos in MADE)
    for pos, (ref, alt, spans) in MADE.items():
        before, after = (pooled(esm2, peptide, span, pooling) for peptide, span in ((ref, spans[0]), (alt, spans[1])))
        difference = after - before
        direction, norm, distance = found[keys[pos]]
        assert norm == pytest.approx(np.linalg.norm(difference), rel=1e-4)
        assert np.abs(direction - difference / np.linalg.norm(difference)).max() < 1e-3  # 16-bit numbers
        cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
        assert distance == pytest.approx(1 - cosine, abs=1e-5)
    reasons = {pos: made for pos, _, made in CASES if isinstance(made, str)}
    assert dict(store.execute("SELECT variant_key, reason FROM embedding_skip").fetchall()) == {
        keys[pos]: reason for pos, reason in reasons.items()
    }

    (row,) = models(command)
    facts = {
        "name": "esm", "revision": "local", "dimension": 32, "flank": F, "pooling": pooling, "dtype": "fp32", "reference": Proteins(path).digest,
        "release_id": 2, "inputs": ["protein", "consequence.hgvsp"],
    }  # fmt: skip
    assert {name: row[name] for name in facts} == facts
    assert command("models", "list").out == (
        f"esm  {len(MADE)} vectors of 32 numbers, {len(reasons)} variants without, {F} residues on either side, {pooling}, fp32, of release 2, "
        "not indexed\n"
    )
    before_again = bits(store, "esm")
    assert command(*asked).out.startswith(f"esm: 0 variants embedded, {len(MADE)} in all\n")
    assert bits(store, "esm") == before_again
    path.write_text(FASTA.replace(">sp|P68871", ">sp|P68872"))
    refused(command(*asked), f"esm is registered with reference {facts['reference']}, not", "--again")
    assert bits(store, "esm") == before_again


def test_without_a_flank_peptides_fill_the_positions_of_the_model(
    store: Conn, url: str, command: Command, esm2: Path, tmp_path: Path
) -> None:
    long = "M" + FIRST[1:] * 20
    fill(url, [])
    rows = [(1_896_000, [coding("p.Val1721Ile", "NP_000001.1")])]
    load_vcf(url, write(tmp_path / "a.vcf", rows), dataset="a", version="1")
    path = fasta(tmp_path, f">NP_000001.1\n{long}\n")
    said = command("embed", "--model", f"hf:{esm2}", "--proteins", str(path), "--name", "esm", "--device", "cpu")
    assert said == (0, "esm: 1 variants embedded, 1 in all\n", "")
    assert models(command)[0]["flank"] == 510
    ref = long[1720 - 510 : 1721 + 510]
    alt = ref[:510] + "I" + ref[511:]
    difference = pooled(esm2, alt, (510, 511), "variant") - pooled(esm2, ref, (510, 511), "variant")
    ((direction, norm, _),) = stored(store, "esm").values()
    assert norm == pytest.approx(np.linalg.norm(difference), rel=1e-3)
    assert np.abs(direction - difference / norm).max() < 1e-3


@pytest.mark.parametrize(
    "record", ["ENSP00000000007.2|ENST00000000007.2|ENSG00000000007.2|G|120", f"ENSP00000000007.2 {ENSEMBLS.format('ENST00000000007.2')}"]
)
def test_snpeffs_changes_are_of_the_transcripts_that_gencode_and_ensembl_name(
    store: Conn, url: str, command: Command, esm2: Path, tmp_path: Path, record: str
) -> None:
    fill(url, [])
    rows = [(1_896_000, [ann("missense_variant", "MODERATE", "G", "ENST00000000007.2", "c.163G>A", "p.Val55Ile")])]
    load_vcf(url, write(tmp_path / "a.vcf", rows, key="ANN"), dataset="a", version="1")
    path = fasta(tmp_path, f">{record}\n{FIRST}\n")
    said = command("embed", "--model", f"hf:{esm2}", "--proteins", str(path), "--name", "esm", "--device", "cpu", "--flank", str(F))
    assert said == (0, "esm: 1 variants embedded, 1 in all\n", "")
    ref, alt, spans = MADE[1_896_000]
    difference = pooled(esm2, alt, spans[1], "variant") - pooled(esm2, ref, spans[0], "variant")
    ((direction, _, _),) = stored(store, "esm").values()
    assert np.abs(direction - difference / np.linalg.norm(difference)).max() < 1e-3


def test_equal_peptides_differ_by_exactly_nothing_and_swapped_ones_by_the_negative(esm2: Path) -> None:
    model = sequence_models.load(f"hf:{esm2}", device="cpu")
    made = peptides(FIRST, "p.Gly50_Glu52del", F)
    assert isinstance(made, Window)
    back = Window(made.start, made.alt, made.ref, made.alt_span, made.ref_span)
    same = Window(1, FIRST, FIRST, (3, 4), (3, 4))
    stream = pairs(model.tokenizer, [made, back, same], Pooling.VARIANT)
    found = {
        key: (difference, norm, distance)
        for batch in embed(model, enumerate(stream), Pooling.VARIANT)
        for key, difference, norm, distance in zip(batch.keys, *batch.embedded, strict=True)
    }
    assert np.array_equal(found[0][0], -found[1][0])
    assert found[0][1] > 0
    assert not found[2][0].any()
    assert (found[2][1], found[2][2]) == (0, 0)


def test_what_cannot_be_read_as_proteins_is_refused_in_words(store: Conn, url: str, command: Command, esm2: Path, tmp_path: Path) -> None:
    """Each with exit code 2, and with nothing registered."""
    fill(url, [])
    path = fasta(tmp_path)
    bare = [(pos, []) for pos, _ in ROWS]
    load_vcf(url, write(tmp_path / "bare.vcf", bare), dataset="bare", version="1")
    asked = ("embed", "--device", "cpu", "--name", "esm", "--model")
    protein = (*asked, f"hf:{esm2}", "--proteins")
    refused(command(*protein, str(path)), "no visible load tells of any", "VEP or SnpEff", "vkg load vcf", "docs/loading.md")
    load_vcf(url, write(tmp_path / "nohgvs.vcf", [(1_896_000, [csq("missense_variant", "MODERATE")])]), dataset="nohgvs", version="1")
    refused(command(*protein, str(path)), "no visible consequence gives a change of a protein (HGVSp)", "vep --hgvs")
    load_vcf(url, write(tmp_path / "a.vcf", ROWS), dataset="a", version="1")

    (tmp_path / "other").mkdir()
    other = fasta(tmp_path / "other", ">ENSP00000000001.9 x\nMKV\n>ENSP00000000002.1\nMW\n")
    refused(
        command(*protein, str(other)), "no sequence of any protein that a consequence names", "looked for: ", P1, P2,
        "found: ENSP00000000001.9, ENSP00000000002.1 ...", "Homo_sapiens.GRCh38.pep.all.fa.gz",
    )  # fmt: skip
    refused(command(*protein, str(tmp_path / "none.fa")), "none.fa: no such FASTA of proteins", "--proteins")
    refused(
        command(*asked, f"hf:{esm2}"), "reads proteins, and variants are of DNA", "--proteins FASTA", "Homo_sapiens.GRCh38.pep.all.fa.gz"
    )
    refused(command(*protein, str(path), "--reference", "x.fa"), "--reference and --proteins", "Leave --reference out")
    refused(command(*asked, f"hf:{tmp_path / 'nowhere'}", "--proteins", str(path)), "nowhere: no such folder", "config.json")
    nt = esm(tmp_path / "nt", SIX_MERS, "absolute", token_dropout=False)
    refused(command(*asked, f"hf:{nt}", "--proteins", str(path)), "is no model of proteins", "Leave --proteins out", "esm2")
    for model in (f"dnabert2:{small_model(tmp_path / 'dnabert2')}", f"hgvs:{bert(tmp_path / 'bert')}", "annotation"):
        refused(command(*asked, model, "--proteins", str(path)), f"{model} reads no proteins", "Leave --proteins out")
    store.execute("UPDATE genome SET reference_path = NULL")
    refused(command(*asked, f"hf:{esm2}"), "none is registered with the store", "a model of proteins reads --proteins FASTA")
    assert models(command) == []

    said = command(*protein, str(path), "--region", "20:1896150-1896190")
    refused(said, "no variant could be embedded: 5 tried", "Check that the FASTA is of the proteins that HGVSp names")
    assert command(*protein, str(path)).code == 0


def test_names_in_messages_are_short_and_a_protein_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "some.fa"
    path.write_text(f">{'N' * 9000}\nMKWVTFISLL\n")
    with pytest.raises(EmbedderError, match="no sequence of any protein") as error:
        Proteins(path).check(["NP_000509"])
    assert len(str(error.value)) < 1000
    path.write_text(f">A\n{'M' * 1_000_001}\n")
    with pytest.raises(EmbedderError, match="A has 1,000,001 residues, of which a protein has at most 1,000,000"):
        Proteins(path)
