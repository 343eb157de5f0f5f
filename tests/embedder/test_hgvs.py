"""`vkg embed --model hgvs:SOURCE`: texts of consequences by example, and vectors of tiny text encoders against transformers' own forward."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    GPT2Config,
    GPT2Model,
)

from embedder import models as sequence_models
from embedder.batches import embed_singly
from embedder.errors import EmbedderError
from embedder.models import hgvs
from embedder.models.hgvs import text
from embedder.peptides import Change, change
from embedder.windows import Skip
from store.assembly import GRCH37
from store.embedding import find_model
from store.embedding_inputs import Consequence, consequences, protein_changes
from store.genome import initialise
from tests.conftest import ROOT
from tests.embedder.annotated import ann, csq, write
from tests.embedder.asked import Command, models, refused
from tests.embedder.encoders import PIECES, SENTENCES, SIZES, bert, distilbert, electra, mean, roberta, wordpiece
from tests.embedder.stores import bits, fill, keys_by_position, small_model
from tests.embedder.test_huggingface import AMINO_ACIDS, SIX_MERS, esm
from tests.graph.loading import load_vcf
from tests.store.vectors import Conn, stored

# ---- the text


@pytest.mark.parametrize(
    ("consequence", "expected"),
    [
        (
            Consequence(
                1, ["missense_variant", "splice_region_variant"], "MODERATE", "SIRPA", "protein_coding", "ENST00000356025.3:c.131A>G",
                "ENSP00000348307.3:p.Gly44Asp", "3/9",
            ),
            "Missense variant and splice region variant in the gene SIRPA, moderate impact. Protein change p.Gly44Asp. "
            "Protein coding transcript, exon 3 of 9. Coding change c.131A>G.",
        ),
        (Consequence(1, ["intergenic_variant"], "MODIFIER"), "Intergenic variant, modifier impact."),
        (Consequence(1, [], "MODIFIER"), "Sequence variant, modifier impact."),
        (
            Consequence(1, ["5_prime_UTR_variant"], "MODIFIER", "BRCA1", None, "NM_007294.4:c.-19-10T>C", None, None, "1/22"),
            "5 prime UTR variant in the gene BRCA1, modifier impact. Intron 1 of 22. Coding change c.-19-10T>C.",
        ),
        (
            Consequence(1, ["intron_variant", "non_coding_transcript_variant"], "MODIFIER", "XIST", "lncRNA", "ENST1.1:n.90+12del", None),
            "Intron variant and non coding transcript variant in the gene XIST, modifier impact. LncRNA transcript. Non-coding change n.90+12del.",
        ),
        (
            Consequence(1, ["synonymous_variant"], "LOW", "NCOA4", "processed_transcript", None, "ENST1.1:c.717C>T(p.=)"),
            "Synonymous variant in the gene NCOA4, low impact. Protein change p.=. Processed transcript.",
        ),
        (
            Consequence(1, ["missense_variant"], "MODERATE", None, None, None, "NP_1.1:p.(Gly44Asp)"),
            "Missense variant, moderate impact. Protein change p.(Gly44Asp).",
        ),
        (
            Consequence(1, ["synonymous_variant"], "LOW", None, None, "c.178T>C", "p.Pro60="),
            "Synonymous variant, low impact. Protein change p.Pro60=. Coding change c.178T>C.",
        ),
    ],
)  # fmt: skip
def test_a_consequence_as_a_text(consequence: Consequence, expected: str) -> None:
    assert text(consequence) == expected


def test_inputs_are_all_that_a_text_is_made_of() -> None:
    names = {each.name for each in fields(Consequence)} - {"variant_key"}
    assert {f"consequence.{name}" for name in names} == set(hgvs.INPUTS)


# ---- text encoders


@pytest.mark.parametrize(
    "make", [bert, roberta, distilbert, electra(ElectraForMaskedLM), electra(ElectraForPreTraining)],
    ids=["bert", "roberta", "distilbert", "electra", "electra's discriminator"],
)  # fmt: skip
def test_encoders_give_the_mean_of_their_own_forward(make: Callable[[Path], Path], tmp_path: Path) -> None:
    torch.manual_seed(3)
    folder = make(tmp_path / "encoder")
    model = sequence_models.load(f"hgvs:{folder}", device="cpu")
    assert (model.id, model.alphabet, model.dimension, model.dtype) == ("hgvs:encoder", "TEXT", 32, torch.float32)
    tokens = pickle.loads(pickle.dumps(model.tokenizer)).tokenize(SENTENCES)
    found = {
        key: (vector, norm)
        for each in embed_singly(model, enumerate(tokens))
        for key, vector, norm in zip(each.keys, each.vectors, each.norm, strict=True)
    }
    for number, sentence in enumerate(SENTENCES):
        expected = mean(folder, sentence)
        assert np.abs(found[number][0] - expected).max() < 1e-5
        assert found[number][1] == pytest.approx(np.linalg.norm(expected), rel=1e-5)


def test_upper_and_lower_case_are_the_tokenizers_own(tmp_path: Path) -> None:
    cased, uncased = (
        sequence_models.load(f"hgvs:{bert(tmp_path / str(low), lowercase=low)}", device="cpu").tokenizer for low in (False, True)
    )
    same = [[tokens.ids.tolist() for tokens in each.tokenize(["The GENE p.Gly", "the gene p.gly"])] for each in (cased, uncased)]
    assert same[0][0] != same[0][1]
    assert same[1][0] == same[1][1]
    assert PIECES.index("[UNK]") not in same[0][0]


@pytest.mark.parametrize("make", [bert, roberta], ids=["bert", "roberta"])
def test_what_is_longer_than_the_positions_is_cut_at_its_end(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "encoder", **({"positions": 128} if make is bert else {}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.truncation_side = "left"
    tokenizer.save_pretrained(folder)
    model = sequence_models.load(f"hgvs:{folder}", device="cpu")
    long = SENTENCES[0] + " Coding change c.10_11insACGT" * 30
    (tokens,) = model.tokenizer.tokenize([long])
    assert (model.max_tokens, len(tokens.ids)) == (128, 128)
    (same,) = model.tokenizer.tokenize([long + " and so on"])
    assert np.array_equal(same.ids, tokens.ids)
    ((_, vectors, _, _),) = embed_singly(model, [(0, tokens)])
    assert np.abs(vectors[0] - mean(folder, long, 128)).max() < 1e-5


def test_numbers_that_are_not_finite_are_refused_one_by_one(tmp_path: Path) -> None:
    model = sequence_models.load(f"hgvs:{bert(tmp_path / 'bert')}", device="cpu")
    tokens = model.tokenizer.tokenize(["gene", "impact", "exon"])
    model.network.embeddings.word_embeddings.weight.data[PIECES.index("impact")] = torch.inf  # type: ignore[attr-defined]
    (batch,) = embed_singly(model, enumerate(tokens))
    assert (batch.keys, batch.refused, batch.vectors.shape) == ([0, 2], [1], (2, 32))


def test_a_decoder_and_a_model_of_other_text_are_refused(tmp_path: Path) -> None:
    GPT2Model(GPT2Config(vocab_size=len(PIECES), n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path / "gpt")
    wordpiece(True).save_pretrained(tmp_path / "gpt")
    for kind in ("hgvs", "hf"):
        with pytest.raises(EmbedderError, match=r"a decoder \(gpt2\).*\n.*Choose an encoder"):
            sequence_models.load(f"{kind}:{tmp_path / 'gpt'}", device="cpu")
    config = BertConfig(vocab_size=len(PIECES), is_decoder=True, **SIZES)
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    wordpiece(True).save_pretrained(tmp_path / "bert")
    with pytest.raises(EmbedderError, match=r"a decoder \(bert\)"):
        sequence_models.load(f"hgvs:{tmp_path / 'bert'}", device="cpu")
    for name, vocabulary in (("nt", SIX_MERS), ("esm2", AMINO_ACIDS)):
        model = sequence_models.load(f"hgvs:{esm(tmp_path / name, vocabulary, 'absolute')}", device="cpu")
        with pytest.raises(EmbedderError, match="its tokenizer does not know most of 'Missense variant"):
            model.tokenizer.tokenize(SENTENCES[:1])


# ---- from the file to the row

SIRPA = {"SYMBOL": "SIRPA", "BIOTYPE": "protein_coding"}
MISSENSE = csq(
    "missense_variant", "MODERATE", Feature="ENST00000356025.3", EXON="3/9", HGVSc="ENST00000356025.3:c.131A>G",
    HGVSp="ENSP00000348307.3:p.Gly44Asp", SIFT="tolerated(0.3)", CLIN_SIG="pathogenic", gnomADe_AF="0.2", **SIRPA,
)  # fmt: skip
STOP = {"SYMBOL": "PDYN", "EXON": "4/4"}
ROWS: list[tuple[int, list[str]]] = [
    (1_895_963, [csq("upstream_gene_variant", Feature="ENST00000400068.3", **SIRPA), MISSENSE]),
    (1_896_010, [csq("synonymous_variant", "LOW", HGVSp="ENSP00000348307.3:p.Pro60=", **SIRPA)]),
    (1_896_100, [csq("intergenic_variant")]),
    (1_896_200, [csq("intergenic_variant")]),
    (1_896_300, []),
    # Of equally severe ones the transcript that the annotator prefers.
    (1_896_400, [
        csq("stop_gained", "HIGH", HGVSc="ENST3.1:c.20T>A", **STOP), csq("stop_gained", "HIGH", HGVSc="ENST2.1:c.30T>A", CANONICAL="YES", **STOP),
        csq("stop_gained", "HIGH", HGVSc="ENST1.1:c.40T>A", MANE_SELECT="NM_1.1", **STOP),
    ]),
]  # fmt: skip
TEXTS = [
    "Missense variant in the gene SIRPA, moderate impact. Protein change p.Gly44Asp. Protein coding transcript, exon 3 of 9. Coding change c.131A>G.",
    "Synonymous variant in the gene SIRPA, low impact. Protein change p.Pro60=. Protein coding transcript.",
    "Intergenic variant, modifier impact.",
    "Intergenic variant, modifier impact.",
    "Stop gained in the gene PDYN, high impact. Exon 4 of 4. Coding change c.40T>A.",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT."""
    return bert(tmp_path_factory.mktemp("text") / "bert")


def test_vectors_of_what_the_most_severe_consequence_is(store: Conn, url: str, command: Command, encoder: Path, tmp_path: Path) -> None:
    fill(url, [])
    load_vcf(url, write(tmp_path / "a.vcf", ROWS), dataset="a", version="1")
    asked = ("embed", "--model", f"hgvs:{encoder}", "--name", "text", "--device", "cpu")
    said = command(*asked)
    told = "  without a vector: 1: no visible load tells of a consequence\n"
    assert said == (0, f"text: 5 variants embedded, 5 in all\n{told}", "")

    keys, found = keys_by_position(store), stored(store, "text")
    with_vectors = [keys[pos] for pos, entries in ROWS if entries]
    assert list(found) == with_vectors
    for key, sentence in zip(with_vectors, TEXTS, strict=True):
        expected = mean(encoder, sentence)
        direction, norm, distance = found[key]
        assert norm == pytest.approx(np.linalg.norm(expected), rel=1e-5)
        assert np.abs(direction - expected / np.linalg.norm(expected)).max() < 1e-3  # 16-bit numbers
        assert distance is None
    assert np.array_equal(found[with_vectors[2]][0], found[with_vectors[3]][0])

    (row,) = models(command)
    loaded = sequence_models.load(f"hgvs:{encoder}", device="cpu")
    facts = {
        "name": "text", "revision": "local+text.1", "weights_sha256": loaded.weights_sha256, "dimension": 32, "flank": None, "pooling": "mean",
        "dtype": "fp32", "reference": None, "release_id": 2, "vectors": 5, "tasks": 0, "skipped": {"NO_CONSEQUENCE": 1},
    }  # fmt: skip
    assert {name: row[name] for name in facts} == facts
    assert row["inputs"] == [
        "consequence.terms", "consequence.impact", "consequence.symbol", "consequence.biotype", "consequence.hgvsc", "consequence.hgvsp",
        "consequence.exon", "consequence.intron",
    ]  # fmt: skip
    assert command("models", "list").out == "text  5 vectors of 32 numbers, 1 variants without, mean, fp32, of release 2, not indexed\n"
    before = bits(store, "text")
    assert command(*asked) == (0, f"text: 0 variants embedded, 5 in all\n{told}", "")
    assert bits(store, "text") == before
    assert command(*asked, "--again", "--pooling", "mean").out == said.out
    assert bits(store, "text") == before


def test_what_a_later_load_tells_of_is_embedded_and_the_latest_speaks(
    store: Conn, url: str, command: Command, encoder: Path, tmp_path: Path
) -> None:
    fill(url, [])
    load_vcf(url, write(tmp_path / "a.vcf", ROWS), dataset="a", version="1")
    asked = ("embed", "--model", f"hgvs:{encoder}", "--name", "text", "--device", "cpu")
    assert command(*asked).code == 0
    before = stored(store, "text")
    later = [
        (1_896_300, [ann("missense_variant", "MODERATE", "SIRPB1", "ENST1.1", "c.7A>C", "p.Ile3Leu")]),
        (1_895_963, [ann("missense_variant", "MODERATE", "SIRPB1", "ENST1.1", "c.8A>C", "p.Ile4Leu")]),
    ]
    load_vcf(url, write(tmp_path / "b.vcf", sorted(later), key="ANN"), dataset="b", version="1")
    said = command(*asked)
    assert (said.code, said.out) == (0, "text: 1 variants embedded, 6 in all\n")
    assert said.err.startswith("vectors of text tell of release 2, and it is 3 by now")
    keys, now = keys_by_position(store), stored(store, "text")

    def is_of(vector: np.ndarray, change: str, coding: str) -> bool:
        sentence = (
            f"Missense variant in the gene SIRPB1, moderate impact. Protein change {change}. Protein coding transcript, exon 1 of 2. "
            f"Coding change {coding}."
        )
        expected = mean(encoder, sentence)
        return bool(np.abs(vector - expected / np.linalg.norm(expected)).max() < 1e-3)

    assert is_of(now[keys[1_896_300]][0], "p.Ile3Leu", "c.7A>C")
    assert np.array_equal(now[keys[1_895_963]][0], before[keys[1_895_963]][0])  # what had a vector keeps it
    assert command(*asked, "--again") == (0, "text: 6 variants embedded, 6 in all\n", "")
    assert is_of(stored(store, "text")[keys[1_895_963]][0], "p.Ile4Leu", "c.8A>C")


def test_what_cannot_be_read_as_text_is_refused_in_words(store: Conn, url: str, command: Command, encoder: Path, tmp_path: Path) -> None:
    """Each with exit code 2, and with nothing registered."""
    fill(url, [])
    load_vcf(url, write(tmp_path / "bare.vcf", [(pos, []) for pos, _ in ROWS]), dataset="bare", version="1")
    model = ("embed", "--device", "cpu", "--name", "text", "--model")
    text_model = (*model, f"hgvs:{encoder}")
    refused(command(*text_model), "no visible load tells of any", "VEP or SnpEff", "vkg load vcf", "docs/loading.md")
    load_vcf(url, write(tmp_path / "a.vcf", ROWS), dataset="a", version="1")
    refused(command(*model, "hgvs:"), "no sequence model 'hgvs:'", "hgvs:FOLDER")
    refused(command(*model, "hgvs"), "no sequence model 'hgvs'", "hgvs:FOLDER")
    refused(command(*model, f"hgvs:{tmp_path / 'nowhere'}"), "no such folder", "config.json")
    refused(command(*model, "hgvs:nobody/nothing"), "nobody/nothing is not a folder here", "hgvs:FOLDER")
    refused(command(*text_model, "--pooling", "max"), "of a text the mean of all tokens is taken", "Leave it out")
    refused(command(*text_model, "--flank", "100"), "--flank: hgvs:", "reads text, and no sequence")
    refused(command(*text_model, "--reference", "x.fa"), "--reference: hgvs:", "reads text, and no sequence")
    refused(command(*text_model, "--proteins", "x.fa"), "reads no proteins", "Leave --proteins out")
    refused(command("embed", "--model", f"hgvs:{encoder}", "--name", "annotation"), "annotation is the name of another model")
    nt = esm(tmp_path / "nt", SIX_MERS, "absolute", token_dropout=False)
    refused(command(*model, f"hgvs:{nt}"), "its tokenizer does not know most of 'Missense variant", "not a model of text")
    gpt = tmp_path / "gpt"
    GPT2Model(GPT2Config(vocab_size=len(PIECES), n_embd=8, n_layer=1, n_head=1)).save_pretrained(gpt)
    refused(command(*model, f"hgvs:{gpt}"), "a decoder (gpt2)", "Choose an encoder")
    refused(command(*model, f"hgvs:{small_model(tmp_path / 'dnabert2')}"), "Say dnabert2:")
    assert models(command) == []

    assert command(*text_model).code == 0
    before = bits(store, "text")
    other = bert(tmp_path / "other", seed=2)
    refused(command(*model, f"hgvs:{other}"), "text is registered with weights_sha256", "--name")
    assert bits(store, "text") == before


def test_only_variants_without_a_consequence_are_told_of(store: Conn, url: str, command: Command, encoder: Path, tmp_path: Path) -> None:
    fill(url, [])
    load_vcf(url, write(tmp_path / "a.vcf", ROWS), dataset="a", version="1")
    said = command("embed", "--model", f"hgvs:{encoder}", "--name", "text", "--device", "cpu", "--region", "20:1896300")
    refused(said, "no variant could be embedded: 1 tried", "Annotate a VCF with VEP or SnpEff")
    assert "without a vector: 1: no visible load tells of a consequence" in said.out


def test_an_annotated_cohort_is_read_with_a_process_for_tokens(store: Conn, url: str, command: Command, encoder: Path) -> None:
    """The project's own annotated cohort, through the loader and with a process for tokens."""
    fill(url, [])
    load_vcf(url, ROOT / "tests" / "data" / "graph" / "cohort.vcf", dataset="cohort", version="1")
    said = command("embed", "--model", f"hgvs:{encoder}", "--name", "text", "--device", "cpu", "--workers", "1")
    assert said.code == 0, said
    model = find_model(store, "text")
    assert model is not None
    (key,) = store.execute("SELECT variant_key FROM variant WHERE pos = 1961000").fetchone() or (0,)
    expected = mean(
        encoder,
        "Missense variant in the gene PDYN, moderate impact. Protein change p.Arg200His. Protein coding transcript, exon 4 of 4. "
        "Coding change c.600G>A.",
    )
    assert np.abs(stored(store, "text")[key][0] - expected / np.linalg.norm(expected)).max() < 1e-3


@pytest.mark.requires_real
def test_files_that_vep_and_snpeff_wrote_read_as_sentences_and_their_changes_of_proteins_are_known(
    store: Conn, url: str, real: Path, tmp_path: Path
) -> None:
    """680 variants annotated by VEP 85 and SnpEff 4.2: no accession and no underscore is left, and no change is of a kind that is not known."""
    initialise(store, GRCH37)
    path = Path(shutil.copy(real / "formats" / "vep85_csq_snpeff42_ann.sites_only.grch37.vcf.gz", tmp_path))
    load = load_vcf(url, path, dataset="real", version="1", unnormalized=True)
    keys = [key for (key,) in store.execute("SELECT variant_key FROM variant").fetchall()]
    said = consequences(store, keys, [load])
    assert len(said) == len(keys) == 680
    texts = [text(each) for each in said.values()]
    assert not [each for each in texts if not each.endswith(".") or "ENS" in each or "_" in each.partition(" change ")[0]]
    assert (
        "Missense variant in the gene CACNA1G, moderate impact. Protein change p.Val1485Leu. Protein coding transcript, exon 23 of 23. "
        "Coding change c.4453G>C." in texts
    )
    changes = [change(each.change, "X" * 40_000) for of in protein_changes(store, keys, [load]).values() for each in of]
    assert {found for found in changes if isinstance(found, Skip)} == {Skip.SYNONYMOUS, Skip.FRAMESHIFT}
    assert sum(isinstance(found, Change) for found in changes) > 200
