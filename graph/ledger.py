"""Loads and releases: where every statement of the graph comes from."""

from __future__ import annotations

from enum import Enum

import strawberry

from store.ledger import LOAD, RELEASE

from .link import define, entity, leaf
from .node import Node, whole_number
from .scalars import BigInt, Timestamp


@define
@strawberry.enum(description="What a dataset holds.")
class DatasetKind(Enum):
    VARIANTS = strawberry.enum_value("VARIANTS", description="Variants of a VCF with what it says about them.")
    GENES = strawberry.enum_value("GENES", description="A gene annotation.")
    SCORES = strawberry.enum_value("SCORES", description="Numbers per variant.")
    SAMPLES = strawberry.enum_value("SAMPLES", description="What a panel or a pedigree says of people.")
    IBD = strawberry.enum_value("IBD", description="Segments shared by descent, and of homozygosity by descent.")
    POPULATIONS = strawberry.enum_value("POPULATIONS", description="What populations are called and part of.")
    ANCESTRY = strawberry.enum_value("ANCESTRY", description="Principal components of people.")
    FREQUENCIES = strawberry.enum_value("FREQUENCIES", description="Allele frequencies of populations, without variants.")
    V2F = strawberry.enum_value("V2F", description="Variant-to-function scores: of variants, and of links of elements to genes.")
    ENFORMER = strawberry.enum_value("ENFORMER", description="Effects that Enformer predicts.")
    METACELLS = strawberry.enum_value("METACELLS", description="Expression and accessibility in metacells.")
    CLUSTERS = strawberry.enum_value("CLUSTERS", description="Clusters of variants whose vectors, by a model, lie close together.")


@entity(LOAD, description="One version of one dataset in the store: the provenance of every observation.", key_of=whole_number)
class Load(Node):
    load_id: strawberry.Private[int]
    dataset: str = leaf("Name of the dataset (clinvar, gencode, a callset).")
    version: str = leaf("Version given when it was loaded, else the day.")
    kind: DatasetKind = leaf("What the dataset holds.")
    normalized: bool = leaf("False when indels were loaded without a reference to align them to.")
    lifted_from: str | None = leaf("Assembly of the files, where their positions were lifted over to that of the store; null else.")
    loaded_at: Timestamp = leaf("When its last row was written.")
    record_count: BigInt = leaf("Records read from its files.")
    reject_count: BigInt = leaf("Records or alleles that were rejected; see <file>.rejects.tsv of the load.")
    files: list[str] = leaf("Names of its files.")
    sha256: list[str] = leaf("SHA-256 of each file, in hex.")


@entity(RELEASE, description="An immutable set of loads: what was visible together.", key_of=whole_number)
class Release(Node):
    release_id: strawberry.Private[int]
    name: str | None = leaf("Name to pin it by in the HTTP header Vkg-Release; null when it has none.")
    reason: str = leaf("What made it: a publish, an unload, a naming.")
    created_at: Timestamp = leaf("When it was made.")
