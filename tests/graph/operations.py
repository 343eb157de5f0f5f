"""Random valid operations over the whole schema: aliases, fragments, variables, directives, nested pages, names that are there and names that are not."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    ast_from_value,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_required_argument,
    print_ast,
)

VALUES: dict[str, list[Any]] = {
    "id": ["rs4813331", "20-1897442-C-T", "Variant:A00CDC9108E80000", "Gene:ENSG00000198053", "NOP56", "SIRPA", "chr20-1", "", "Sample:1", "Metacell:x"],
    "ids": [["rs4813331"], ["20-1897442-C-T", "rs6074703", "rs1"], ["SIRPA", "NOP56"], ["Gene:ENSG00000198053", "Release:1"], []],
    "inputs": [["rs4813331", "x", "20:1897442"], ["20-1897442-C-T"]],
    "text": ["rs48133", "SIR", "20:1897442", "HG0017", "zzz", ""],
    "sample": ["HG00171", "1000G/HG00376", "nobody"],
    "sample1": ["HG00376", "HG00171"],
    "sample2": ["HG00381", "HG00171", "nobody"],
    "others": [["HG00381"], ["nobody"]],
    "region": ["20:1890000-1899000", "20:2630000-2640000", "20:1-2", "21", "x"],
    "gene": ["SIRPA", "NOP56", "ENSG00000198053", "no such"],
    "genes": [["SIRPA", "NOP56"], ["LYZ"], []],
    "population": ["EUR", "FIN", "ALL", "XXX"],
    "callset": ["kg300", "none"],
    "dataset": ["kg300", "pbmc68k", "none"],
    "source": ["hapibd", "hap-ibd", "none"],
    "cohort": ["1000G", "none"],
    "cellType": ["CD14+ Monocyte", "none"],
    "tissue": ["peripheral blood", "none"],
    "condition": ["none"],
    "model": ["annotation", "none"],
    "name": ["kg300", "CADD_PHRED", "none"],
    "biotype": ["protein_coding"],
    "family": [["F1"]],
    "after": ["x"],
    "before": ["x"],
    "classification": ["PATHOGENIC", "BENIGN"],
    "vector": [[1.0, 2.0], []],
    "ref": ["ACGT"],
    "alt": ["ACCT"],
    "analysis": ["none"],
    "VariantFilter": [
        {"type": ["SNV"]}, {"frequency": [{"population": "EUR", "min": 0.05}]}, {"not": {"type": ["DELETION"]}}, {"impact": ["HIGH"]}, {"qual": {"min": 2, "max": 1}},
        {"or": [{"rsid": ["rs4813331"]}, {"consequence": ["missense_variant"]}]},
    ],
    "FamilyFilter": [{"deNovo": True}, {"homozygousRecessive": True}, {"minDp": 5}],
}  # fmt: skip
"""Values of arguments by name, and of input objects by type; the likeliest first. Of names that are lists the items."""

_INT, _FLOAT = [1, 2, 3, 10, 0, -1, 1001], [0.0, 0.5, 1.0, 2.5, -1.0]


@dataclass
class Maker:
    """Makes operations, as the random numbers have it."""

    schema: GraphQLSchema
    random: Random
    depth: int = 5
    variables: dict[str, Any] = field(default_factory=dict)
    _types: dict[str, str] = field(default_factory=dict)
    _fragments: list[str] = field(default_factory=list)
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _one_of_several: int = 0

    def operation(self) -> str:
        """An operation; its variables are in `variables`."""
        assert self.schema.query_type is not None
        body = self._selections(self.schema.query_type, self.depth, 3)
        declared = ", ".join(f"${name}: {kind}" for name, kind in self._types.items())
        return "\n".join([f"query{f'({declared})' if declared else ''} {body}", *self._fragments])

    def _selections(self, kind: Any, depth: int, most: int = 4) -> str:
        if is_abstract_type(kind):
            possible = self.schema.get_possible_types(kind)
            chosen = self.random.sample(possible, min(len(possible), self.random.choice((1, 2, 3))))
            self._one_of_several += 1  # whose fields of one name may be of several types
            parts = ["__typename", *(f"... on {each.name} {self._selections(each, depth)}" for each in chosen)]
            self._one_of_several -= 1
            return f"{{ {' '.join(parts)} }}"
        fields = list(kind.fields.items())
        leaves = [(name, each) for name, each in fields if is_leaf_type(get_named_type(each.type))]
        others = [(name, each) for name, each in fields if not is_leaf_type(get_named_type(each.type))]
        count = self.random.randint(1, most)
        parts = []
        for _ in range(count):
            among = others if depth > 1 and others and (not leaves or self.random.random() < 0.5) else leaves
            if not among:
                parts.append("__typename")
                continue
            name, each = self.random.choice(among)
            parts.append(self._wrapped(kind, self._field(name, each, depth)))
        if self.random.random() < 0.15:
            parts.append(self._alias("__typename"))
        return f"{{ {' '.join(parts)} }}"

    def _field(self, name: str, each: Any, depth: int) -> str:
        arguments = [
            f"{key}: {self._value(key, argument)}"
            for key, argument in each.args.items()
            if is_required_argument(argument) or self.random.random() < (0.6 if key == "first" else 0.12)
        ]
        written = f"{name}({', '.join(arguments)})" if arguments else name
        named = get_named_type(each.type)
        if is_leaf_type(named):
            return self._alias(written) if each.args or self._one_of_several or self.random.random() < 0.2 else written
        return f"{self._alias(written)}{self._directive(0.05)} {self._selections(named, depth - 1)}"

    def _alias(self, written: str) -> str:
        """Under a name of its own, so that what is merged is the same."""
        return f"a{next(self._number)}: {written}"

    def _wrapped(self, kind: GraphQLObjectType, part: str) -> str:
        how = self.random.random()
        if how < 0.06:
            return f"... on {kind.name}{self._directive(0.4)} {{ {part} }}"
        if how < 0.09:
            return f"...{self._directive(0.4)} {{ {part} }}"
        if how < 0.15:
            name = f"F{next(self._number)}"
            self._fragments.append(f"fragment {name} on {kind.name} {{ {part} }}")
            return f"...{name}{self._directive(0.3)}" + (f" ...{name}" if how < 0.1 else "")
        return part

    def _directive(self, likely: float) -> str:
        if self.random.random() >= likely:
            return ""
        value = self.random.random() < 0.5
        text = str(value).lower() if self.random.random() < 0.5 else f"${self._variable('Boolean!', value)}"
        return f" @{self.random.choice(('skip', 'include'))}(if: {text})"

    def _variable(self, kind: str, value: Any) -> str:
        name = f"v{next(self._number)}"
        self._types[name], self.variables[name] = kind, value
        return name

    def _value(self, name: str, argument: GraphQLArgument) -> str:
        value = self._of(name, argument.type)
        if self.random.random() < 0.3:
            return f"${self._variable(str(argument.type), value)}"
        literal = ast_from_value(_internal(value, argument.type), argument.type)
        assert literal is not None
        return print_ast(literal)

    def _of(self, name: str, kind: Any) -> Any:
        kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(kind, GraphQLList):
            known = VALUES.get(name)
            if known and isinstance(known[0], list):
                return self._choice(known)
            return [self._of(name, kind.of_type) for _ in range(self.random.choice((1, 1, 2, 0)))]
        if isinstance(kind, GraphQLInputObjectType):
            return self._choice(VALUES[kind.name])
        if isinstance(kind, GraphQLEnumType):
            return self.random.choice(list(kind.values))
        if kind.name == "Boolean":
            return self.random.random() < 0.5
        if kind.name == "Int":
            return self._choice(_INT)
        return self._choice(_FLOAT) if kind.name == "Float" else self._choice(VALUES[name])

    def _choice(self, values: list[Any]) -> Any:
        return values[min(int(self.random.expovariate(0.7)), len(values) - 1)]


def _internal(value: Any, kind: Any) -> Any:
    """A value as variables have it -> as ast_from_value takes it: enums by their members' values."""
    kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if value is None:
        return None
    if isinstance(kind, GraphQLList):
        return [_internal(item, kind.of_type) for item in value] if isinstance(value, list) else _internal(value, kind.of_type)
    if isinstance(kind, GraphQLEnumType):
        return kind.values[value].value
    if isinstance(kind, GraphQLInputObjectType):
        return {name: _internal(item, kind.fields[name].type) for name, item in value.items()}
    return value
