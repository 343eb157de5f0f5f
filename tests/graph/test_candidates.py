"""`vkg similar --to-class` ranks candidates as the API measures them: by names, of files, of places."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graph import candidates, export_similar
from graph.candidates import Candidates
from graph.errors import UserError
from store.reference import Reference
from tests.graph.conftest import FASTA, Clone, Site
from tests.graph.known import APART, DISEASE, RS, World, facts, make_world, ranked
from tests.graph.neighbours import ROUNDING


@pytest.fixture(scope="module")
def world(clone: Clone, demo_template: str, sites: list[Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make_world(clone, demo_template, sites, tmp_path_factory.mktemp("world"))


# ---- vkg similar --to-class

TO_CLASS = """query ($ids: [String!]!, $model: String!, $classes: [ClinicalClass!]!) { variants(ids: $ids, first: 30) { nodes { name similarityToClass(
    classification: $classes, model: $model) { similarity percentile discrimination memberCount backgroundCount statement nearest { similarity node { name } } } } } }"""


@pytest.mark.parametrize("model", ["annotation", "noise"])
def test_candidates_stand_by_how_near_they_are_to_the_class(world: World, model: str, tmp_path: Path) -> None:
    names = world.within(model, 1_880_000, 1_925_000)[:90]
    path = tmp_path / "names.tsv"
    path.write_text("# name\tsample\n\n" + "".join(f"{name}\tx\n" for name in names))
    expected = {}
    for some in (names[:30], names[30:60], names[60:]):
        nodes = world.api.data(TO_CLASS, {"ids": some, "model": model, "classes": DISEASE})["variants"]["nodes"]
        expected |= {node["name"]: node["similarityToClass"] for node in nodes}
    found = json.loads(ranked(world.url, Candidates(file=path), DISEASE, model, as_json=True).text)
    assert (found["classes"], found["model"]["name"]) == (DISEASE, model)
    assert {row["variant"] for row in found["candidates"]} == set(names)
    for row in found["candidates"]:
        of = expected[row["variant"]]
        # Of how many it is one may turn the last place of a similarity the other way, and who of the same similarity comes first.
        for name, within in (
            ("similarity", ROUNDING),
            ("percentile", 0.2),
            ("discrimination", 0.002),
            ("memberCount", 0),
            ("backgroundCount", 0),
        ):
            assert row[name] == pytest.approx(of[name], abs=1.5 * within), name
        told = [near["similarity"] for near in row["nearest"]]
        assert told == pytest.approx([near["similarity"] for near in of["nearest"]], abs=1.5 * ROUNDING)
        exact = world.of(model).similarities(row["variant"])
        assert told == pytest.approx([exact[world.of(model).place[near["variant"]]] for near in row["nearest"]], abs=1.5 * ROUNDING)
        assert row["reason"] is None
    similarities = [row["similarity"] for row in found["candidates"]]
    assert similarities == sorted(similarities, reverse=True)
    table = ranked(world.url, Candidates(ids=names), DISEASE, model)
    assert [row["variant"] for row in table.rows] == [row["variant"] for row in found["candidates"]]
    assert table.rows[0]["nearest"] == ";".join(
        f"{near['variant']}:{near['similarity']:.15g}" for near in found["candidates"][0]["nearest"]
    )
    assert ranked(world.url, Candidates(ids=names), DISEASE, model, 7).rows == table.rows[:7]
    evidence = [told for told in table.told if "no classification of a variant" in told]
    assert len(evidence) == 1
    assert any("0.5 is chance" in told for told in table.told) == (max(row["discrimination"] for row in found["candidates"]) < 0.6)


def test_nearness_is_that_of_numpy(world: World) -> None:
    """Of `noise`, whose indels lie in a corner, and most of those known to cause disease are indels: the indels come first."""
    known = world.noise
    members = [
        name for name in world.within("noise", 0, 10**8) if {*DISEASE} & {each for classes in world.facts[name].classes for each in classes}
    ]
    assert 20 < len(members) < 2_000
    table = ranked(world.url, Candidates(region="20:1880000-1960000"), DISEASE, "noise").rows
    there = world.within("noise", 1_880_000, 1_960_000)
    scored = [row for row in table if row["similarity"]]
    assert {row["variant"] for row in scored} == set(there)
    positions = np.array([int(name.split("-")[1]) for name in members])
    for row in scored:
        similarities = known.similarities(row["variant"])[[known.place[name] for name in members]]
        apart = np.abs(positions - int(row["variant"].split("-")[1])) > APART
        assert abs(float(row["similarity"]) - np.sort(similarities[apart])[-5:].mean()) < 2 * ROUNDING
        assert int(row["members"]) == apart.sum()
    indels = [len(name.split("-")[2]) != len(name.split("-")[3]) for name in (row["variant"] for row in scored)]
    assert 5 < sum(indels) < len(indels) / 2
    assert np.mean(indels[: sum(indels)]) > 0.8
    # Those without a vector come last, with the reason, and those of whom it points nowhere.
    rest = table[len(scored) :]
    reasons = {row["variant"]: row["reason"] for row in rest}
    assert len(scored) + len(rest) == sum(1_880_000 <= int(name.split("-")[1]) <= 1_960_000 for name in world.facts)
    for name, reason in reasons.items():
        zero = name in known.place
        assert reason == ("ALT changes nothing that noise reads" if zero else "no vector by noise")
    assert {"no vector by noise", "ALT changes nothing that noise reads"} == set(reasons.values())


def test_a_class_with_too_few_members_says_so_of_each(world: World) -> None:
    names = world.within("noise", 1_880_000, 1_890_000)[:3]
    answer = ranked(world.url, Candidates(ids=names), ["DRUG_RESPONSE"], "noise")
    assert [row["variant"] for row in answer.rows] == names
    for row in answer.rows:
        assert (row["similarity"], row["percentile"], row["discrimination"]) == ("", "", "")
        assert "0 variants classified as DRUG_RESPONSE can be compared, fewer than 20" in row["reason"]


def test_candidates_of_a_vcf_are_the_variants_of_its_records(world: World, tmp_path: Path) -> None:
    """Each ALT of each record, as the store has it: trimmed, left-aligned, once; what is none of them is told, by its line."""
    names = world.within("noise", 1_880_000, 1_925_000)[:4]
    parts = [name.split("-") for name in names]
    _, pos, ref, alt = parts[1]
    after = Reference(FASTA).fetch(20, int(pos) + len(ref), int(pos) + len(ref))
    records = [
        ("chr20", parts[0][1], parts[0][2], f"{parts[0][3]},*,<DEL>"),
        ("20", pos, ref + after, alt + after),  # longer than need be
        ("20", *parts[2][1:]),
        ("20", *parts[0][1:]),  # again
        ("20", "1897000", "A", "C"),  # whatever is there
        ("GL000192.1", "5", "A", "C"),
        ("NC_000020.10", *parts[3][1:]),
    ]
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n"
    text = head + "".join(f"{chrom}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\tGT\t0/1\n" for chrom, pos, ref, alt in records)
    answers = []
    for name in ("case.vcf", "case.vcf.gz", "case.VCF.bgz"):
        path = tmp_path / name
        path.write_bytes(text.encode() if name.endswith("vcf") else gzip.compress(text.encode()))
        answers.append(ranked(world.url, Candidates(file=path), DISEASE, "noise"))
    assert answers[0].rows == answers[1].rows == answers[2].rows
    rows = answers[0].rows
    assert {row["variant"] for row in rows[:4]} == set(names)
    missed = rows[4:]
    assert {row["variant"] for row in missed} == {f"chr20-{parts[0][1]}-{parts[0][2]}-{alt}" for alt in ("*", "<DEL>")} | {
        "20-1897000-A-C",
        "GL000192.1-5-A-C",
    }
    assert all(row["reason"] and not row["similarity"] for row in missed)
    told = answers[0].told[0].splitlines()
    assert told[0] == "4 of 9 candidates are not one variant of this store:"
    assert [line.split(": ")[0].strip() for line in told[1:]] == [f"{tmp_path / 'case.vcf'}:{n}" for n in (3, 3, 7, 8)]


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("none.txt", b"# nothing\n\n", "NO_CANDIDATES", "names no variant."),
        ("none.vcf", b"##fileformat=VCFv4.2\n#CHROM\tPOS\n", "NO_CANDIDATES", "names no variant."),
        (
            "other.txt",
            b"rs999999999\n20:5\n",
            "NO_CANDIDATES",
            "names 2, and no variant of this store. Line 1: rs999999999: No visible file",
        ),
        ("short.vcf", b"##fileformat=VCFv4.2\n20\t5\n", "BAD_FILE", "short.vcf:2: a record of 2 columns"),
        ("plain.txt.gz", b"rs4813331\n", "BAD_FILE", "plain.txt.gz, after line 0: "),
        ("cut.txt.gz", gzip.compress(b"rs4813331\n" * 9)[:-9], "BAD_FILE", "cut.txt.gz, after line "),
        ("bytes.txt", b"rs4813331\n\xff\xfe\n", "BAD_FILE", "bytes.txt, after line "),
        ("damaged.txt.gz", gzip.compress(bytes(range(256)) * 99)[:40] + b"\xff" * 40, "BAD_FILE", "damaged.txt.gz, after line "),
        (
            "other.vcf",
            b"##fileformat=VCFv4.2\n##contig=<ID=chr20,length=64444167>\n20\t1897442\t.\tC\tT\n",
            "WRONG_ASSEMBLY",
            "other.vcf:2: chr20 has 64,444,167",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:14] else "",
)
def test_a_file_without_candidates_is_refused(world: World, tmp_path: Path, name: str, content: bytes, code: str, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for call in (lambda: ranked(world.url, Candidates(file=path), DISEASE, "noise"), lambda: facts(world.url, Candidates(file=path))):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.code == code
        assert said in str(caught.value)
        assert str(path) in str(caught.value)


def test_too_many_candidates_are_refused(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = world.within("annotation", 1_880_000, 1_920_000)
    path = tmp_path / "names.txt"
    path.write_text("\ufeff" + "\n".join(names[:20]))  # as some spreadsheets write it
    monkeypatch.setattr(candidates, "PORTION", 7)
    monkeypatch.setattr(candidates, "MOST", 20)
    monkeypatch.setattr(export_similar, "MOST", 20)
    assert len(ranked(world.url, Candidates(file=path), DISEASE, "annotation").rows) == 20
    path.write_text("\n".join(names[:21]))
    for of in (Candidates(file=path), Candidates(region="20:1880000-1920000"), Candidates(ids=names[:21])):
        with pytest.raises(UserError) as caught:
            ranked(world.url, of, DISEASE, "annotation")
        assert caught.value.code == "TOO_MANY_CANDIDATES"


def test_files_are_read_in_portions_that_lose_and_repeat_nothing(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = world.within("annotation", 1_880_000, 1_900_000)[:30]
    path = tmp_path / "names.txt"
    path.write_text("".join(f"nothing{n}\n" for n in range(12)) + "\n".join(names + names[:5]) + "\n")
    whole = facts(world.url, Candidates(file=path))
    monkeypatch.setattr(candidates, "PORTION", 5)
    parts = facts(world.url, Candidates(file=path))
    assert whole.text.count("nothing") == 12
    assert sorted(parts.text.splitlines()) == sorted(whole.text.splitlines())
    assert parts.told == whole.told
    assert whole.told[0].splitlines()[-1] == "  and 2 more"
    assert list(dict.fromkeys(row["variant"] for row in parts.rows if row["field"])) == names


@pytest.mark.parametrize(
    ("of", "code"),
    [
        (Candidates(ids=["rs999999999"]), "UNKNOWN_VARIANT"),
        (Candidates(ids=[RS, "20-x"]), "INVALID_NAME"),
        (Candidates(gene="NOGENE"), "UNKNOWN_GENE"),
        (Candidates(region="20:1-9000000", filter="{qual: {min: 1}}"), "REGION_NEEDED"),
        (Candidates(region="20:1-900000", filter="{what: 1}"), "BAD_FILTER"),
    ],
    ids=str,
)
def test_which_candidates_cannot_be_meant_is_said(world: World, of: Candidates, code: str) -> None:
    for call in (lambda: ranked(world.url, of, DISEASE, "noise"), lambda: facts(world.url, of)):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (Candidates(), "Of which variants?"),
        (Candidates(ids=["rs1"], gene="SIRPA"), "--id and --gene exclude each other."),
        (Candidates(file=Path("x"), region="20:1-2"), "--candidates and --region exclude each other."),
        (Candidates(ids=["rs1"], filter="{}"), "--filter goes with --region or --gene."),
    ],
)
def test_candidates_are_of_one_place(of: Candidates, said: str) -> None:
    with pytest.raises(UserError) as caught:
        of.check()
    assert caught.value.code == "BAD_SELECTION"
    assert said == str(caught.value)
