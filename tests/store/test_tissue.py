"""Which tissue a track is of: the table itself, descriptions looked at by eye, and all of the real ones."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from store.tissue import ASSAYS, TISSUES, UNKNOWN_ASSAY, assay_of, tissue_of
from tests.conftest import ROOT

TABLE = ROOT / "store" / "tissues.tsv"

BY_EYE = {
    "CAGE:liver, adult, pool1": "LIVER",
    "CAGE:Hepatocyte,": "LIVER",
    "CAGE:Hepatic Sinusoidal Endothelial Cells,": "LIVER",
    "CHIP:H3K4me1:right lobe of liver female adult (53 years)": "LIVER",
    "DNASE:hepatocyte originated from H9": None,
    "CAGE:hepatocellular carcinoma cell line: HepG2 ENCODE, biol_": None,
    "CHIP:HNF4A:HepG2": None,
    "CAGE:Mesenchymal Stem Cells - hepatic,": None,
    "DNASE:cerebellum male adult (27 years) and male adult (35 years)": "BRAIN",
    "DNASE:frontal cortex male adult (27 years) and male adult (35 years)": "BRAIN",
    "CAGE:Neurons,": "BRAIN",
    "CAGE:medulla oblongata, newborn,": "BRAIN",
    "CHIP:H3K9me3:middle frontal area 46 female adult (75 years)": "BRAIN",
    "DNASE:Ammon's horn male adult (84 years)": "BRAIN",
    "CAGE:Smooth Muscle Cells - Brain Vascular,": "BRAIN",
    "CHIP:H3K27ac:neuron originated from H9": None,
    "DNASE:bipolar neuron originated from GM23338 treated with 0.5 ug/mL doxycycline hyclate for 4 days": None,
    "CAGE:cerebral meninges, adult": None,
    "CAGE:medulloblastoma cell line:D283 Med": None,
    "CAGE:astrocytoma cell line:TM-31": None,
    "DNASE:astrocyte of the spinal cord": "SPINAL_CORD",
    "CAGE:Fibroblast - skin spinal muscular atrophy,": "SKIN",
    "CAGE:pituitary gland, adult,": "PITUITARY",
    "CHIP:CTCF:tibial nerve male adult (37 years)": "NERVE",
    "CAGE:optic nerve,": None,
    "CAGE:heart, adult, diseased post-infarction,": "HEART",
    "CAGE:left ventricle, adult,": "HEART",
    "CHIP:H3K27ac:heart left ventricle female adult (53 years)": "HEART",
    "CAGE:Fibroblast - Cardiac,": "HEART",
    "DNASE:cardiac mesoderm": None,
    "CAGE:mesenchymal precursor cell - cardiac,": None,
    "DNASE:coronary artery female adult (51 year)": "BLOOD_VESSEL",
    "CAGE:Fibroblast - Pulmonary Artery,": "BLOOD_VESSEL",
    "DNASE:endothelial cell of umbilical vein newborn": "BLOOD_VESSEL",
    "DNASE:dermis blood vessel endothelial cell male newborn": "SKIN",
    "CAGE:Whole blood (ribopure), , donation1": "BLOOD",
    "CAGE:CD19+ B Cells (pluriselect), , donation1": "BLOOD",
    "CHIP:H3K4me3:CD14-positive monocyte female": "BLOOD",
    "CAGE:Macrophage - monocyte derived,": "BLOOD",
    "CAGE:CD14+ monocyte derived endothelial progenitor cells,": None,
    "DNASE:naive thymus-derived CD4-positive, alpha-beta T cell male adult (26 years)": "BLOOD",
    "CAGE:B lymphoblastoid cell line: GM12878 ENCODE, biol_": None,
    "CAGE:chronic myelogenous leukemia cell line:K562": None,
    "CAGE:b cell line:RPMI1788": None,
    "ATAC:BM1077-MCP / Bone Marrow CD34+ / pDC": "BONE_MARROW",
    "DNASE:common myeloid progenitor, CD34-positive female": "BONE_MARROW",
    "CAGE:bone marrow stromal cell line:StromaNKtert": None,
    "CAGE:CD133+ stem cells - cord blood derived, pool1": "BONE_MARROW",
    "DNASE:stromal cell of bone marrow male": None,
    "DNASE:amniotic stem cell": None,
    "DNASE:leg bone male embryo (81 day)": "BONE",
    "CAGE:Small Airway Epithelial Cells,": "LUNG",
    "DNASE:fibroblast of lung": "LUNG",
    "DNASE:upper lobe of left lung female adult (51 year)": "LUNG",
    "CAGE:lung adenocarcinoma cell line:A549": None,
    "CHIP:POLR2A:IMR-90": None,
    "DNASE:left renal cortex interstitium male embryo (105 days)": "KIDNEY",
    "CAGE:Renal Glomerular Endothelial Cells,": "KIDNEY",
    "DNASE:renal cell carcinoma": None,
    "CAGE:embryonic kidney cell line: HEK293/SLAM untreated": None,
    "CAGE:Adipocyte - perirenal,": "ADIPOSE",
    "CAGE:Adipocyte - breast,": "ADIPOSE",
    "CHIP:H3K27ac:adipocyte originated from mesenchymal stem cell": None,
    "CAGE:adrenal gland, adult, pool1": "ADRENAL_GLAND",
    "CAGE:adrenal cortex adenocarcinoma cell line:SW-13": None,
    "CAGE:eye - muscle lateral,": "SKELETAL_MUSCLE",
    "DNASE:myotube originated from skeletal muscle myoblast": "SKELETAL_MUSCLE",
    "CHIP:H3K27ac:gastrocnemius medialis female adult (51 year)": "SKELETAL_MUSCLE",
    "CHIP:H3K27ac:stomach smooth muscle female adult (84 years)": "STOMACH",
    "CHIP:CTCF:gastroesophageal sphincter female adult (51 year)": "ESOPHAGUS",
    "DNASE:Peyer's patch male adult (37 years)": "SMALL_INTESTINE",
    "CAGE:Intestinal epithelial cells (polarized),": None,
    "CHIP:CTCF:batch1_chrom1_LoVo_CTCF_Goat_PassedQC / LoVo / colon adenocarcinoma": None,
    "DNASE:colon epithelial cell line": None,
    "CAGE:gall bladder, adult": None,
    "CAGE:bladder, adult, pool1": "BLADDER",
    "CAGE:mesenchymal precursor cell - ovarian cancer left ovary,": None,
    "DNASE:foreskin melanocyte male newborn": "SKIN",
    "CAGE:Keratinocyte - oral,": None,
    "CHIP:CTCF:HFF-Myc originated from foreskin fibroblast": None,
    "DNASE:trophoblast cell embryo (21 week)": "PLACENTA",
    "DNASE:trophoblast cell originated from H1-hESC": None,
    "CAGE:Fibroblast - Villous Mesenchymal,": "PLACENTA",
    "CAGE:splenic lymphoma with villous lymphocytes cell line:SLVL": None,
    "CAGE:Clontech Human Universal Reference Total RNA, pool1": None,
}

COUNTS = {
    "BLOOD_VESSEL": (21, 10, 0, 64),
    "SPINAL_CORD": (4, 7, 0, 8),
    "PITUITARY": (2, 0, 0, 0),
    "BRAIN": (72, 35, 0, 150),
    "NERVE": (2, 2, 0, 13),
    "EYE": (11, 9, 0, 2),
    "HEART": (11, 30, 0, 64),
    "SKELETAL_MUSCLE": (12, 57, 0, 97),
    "LUNG": (10, 44, 0, 58),
    "TRACHEA": (4, 0, 0, 0),
    "LIVER": (5, 4, 0, 65),
    "PANCREAS": (2, 6, 0, 50),
    "KIDNEY": (7, 78, 0, 24),
    "ADRENAL_GLAND": (1, 11, 0, 34),
    "THYROID": (2, 4, 0, 23),
    "SALIVARY_GLAND": (4, 0, 0, 0),
    "GINGIVA": (10, 1, 0, 0),
    "TONGUE": (3, 2, 0, 0),
    "ESOPHAGUS": (3, 3, 0, 62),
    "STOMACH": (1, 20, 0, 55),
    "SMALL_INTESTINE": (3, 16, 0, 55),
    "COLON": (4, 20, 0, 91),
    "RECTUM": (1, 0, 0, 20),
    "BLADDER": (4, 1, 0, 4),
    "PROSTATE": (5, 2, 0, 12),
    "TESTIS": (3, 3, 0, 7),
    "OVARY": (1, 4, 0, 12),
    "UTERUS": (3, 1, 0, 5),
    "VAGINA": (1, 2, 0, 11),
    "UMBILICAL_CORD": (1, 1, 0, 0),
    "PLACENTA": (3, 15, 0, 63),
    "FETAL_MEMBRANES": (3, 2, 0, 16),
    "ADIPOSE": (12, 3, 0, 45),
    "BREAST": (3, 4, 0, 67),
    "SKIN": (16, 33, 0, 86),
    "BONE": (2, 6, 0, 10),
    "BONE_MARROW": (9, 23, 10, 31),
    "SPLEEN": (2, 2, 0, 31),
    "THYMUS": (2, 9, 0, 12),
    "BLOOD": (46, 38, 0, 187),
}
"""Tracks of targets_human.txt by tissue and assay, in the order of ASSAYS."""


def descriptions(real: Path) -> list[str]:
    """Those of all tracks of Enformer."""
    with gzip.open(real / "genome_wide" / "enformer_targets_human.txt.gz", "rt", encoding="utf-8") as file:
        return [row["description"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def rows() -> list[list[str]]:
    """The rows of the table as written."""
    lines = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines[0] == ["tissue", "name", "words", "except"]
    return lines[1:]


@pytest.mark.parametrize(("description", "tissue"), BY_EYE.items())
def test_descriptions_looked_at_by_eye(description: str, tissue: str | None) -> None:
    assert tissue_of(description) == tissue


def test_tissues_are_in_the_order_of_the_table_and_have_the_names_of_an_enum() -> None:
    assert list(TISSUES.items()) == [(tissue, name) for tissue, name, *_ in rows() if tissue != "-"]
    assert all(re.fullmatch("[A-Z]+(_[A-Z]+)*", tissue) and name for tissue, name in TISSUES.items())
    assert TISSUES.keys() >= {"LIVER", "BRAIN", "HEART", "BLOOD", "LUNG", "KIDNEY"}
    assert all(len(row) == 4 for row in rows())


@pytest.mark.parametrize(
    ("description", "assay", "tissue"),
    [
        ("CAGE:liver", "CAGE", "LIVER"),
        (" cage : Liver", "CAGE", "LIVER"),
        ("CHIP:H3K27ac:LIVERS", "CHIP", "LIVER"),
        ("CAGE:livery", "CAGE", None),
        ("CAGE:x-liver/y", "CAGE", "LIVER"),
        ("CAGE:liver2", "CAGE", None),
        ("CAGE:liver, brain", "CAGE", "BRAIN"),
        ("liver", UNKNOWN_ASSAY, None),
        ("", UNKNOWN_ASSAY, None),
        ("RNA:liver", "RNA", "LIVER"),
    ],
)
def test_words_are_whole_and_stand_after_the_assay(description: str, assay: str, tissue: str | None) -> None:
    assert (assay_of(description), tissue_of(description)) == (assay, tissue)


@pytest.mark.requires_real
def test_of_all_real_tracks_so_many_are_of_each_tissue(real: Path) -> None:
    said = descriptions(real)
    found = Counter((tissue_of(each), assay_of(each)) for each in said)
    assert {tissue: tuple(found[tissue, assay] for assay in ASSAYS) for tissue in TISSUES} == COUNTS
    assert tuple(found[None, assay] for assay in ASSAYS) == (327, 166, 0, 2457)
    assert found.total() == len(said) == 5313
    assert all(cage and sum(others) + cage > 1 for cage, *others in COUNTS.values())


@pytest.mark.requires_real
def test_what_was_looked_at_by_eye_is_as_real_tracks_are_described(real: Path) -> None:
    # The target of ChIP is any: what it was done with counts.
    said = {re.sub("^CHIP:[^:]*", "CHIP", each) for each in descriptions(real)}
    assert [each for each in BY_EYE if re.sub("^CHIP:[^:]*", "CHIP", each) not in said] == []


@pytest.mark.requires_real
def test_no_word_of_the_table_is_without_a_track(real: Path) -> None:
    said = "\n".join(each.partition(":")[2].lower() for each in descriptions(real))
    words = {word.strip().lower() for _, _, *both in rows() for column in both for word in column.split(",")} - {""}
    assert [word for word in words if not re.search(rf"(?<![a-z0-9]){re.escape(word)}s?(?![a-z0-9])", said)] == []
