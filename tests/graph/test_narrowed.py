"""What is open of the loads of a release, and what is left of it for whom: `narrowed`, by cases."""

from __future__ import annotations

from graph.access import Load, narrowed
from graph.context import View

GENES, COHORT, FEW, PED, RUN, COUNTED, OLD = range(1, 8)
ABOUT = (
    Load(GENES, "genes", "genes", 0, None, None),
    Load(COHORT, "cohort", "variants", 100, None, 3),
    Load(FEW, "few", "variants", 4, None, 4),
    Load(PED, "ped", "samples", 100, None, None),
    Load(RUN, "run", "ibd", 0, None, None),
    Load(COUNTED, "cohort.frequencies", "frequencies", 0, COHORT, 8),
)
VIEW = View(9, None, tuple(load.load_id for load in ABOUT))
CURRENT = frozenset(VIEW.loads)


def seen(*datasets: str, view: View = VIEW, about: tuple[Load, ...] = ABOUT, current: frozenset[int] = CURRENT) -> View:
    return narrowed(view, about, frozenset(datasets), 5, current)


def test_open_data_is_what_is_not_of_persons_and_what_is_counted_of_enough() -> None:
    found = seen()
    assert found.loads == (GENES, COHORT, PED, COUNTED)
    assert found.granted == (GENES, COUNTED)
    assert found.withheld == (COHORT,), "whose smallest group has three people"
    assert found.limited == (COHORT, COUNTED)
    assert found.least == 5


def test_a_grant_shows_all_of_its_dataset_and_nothing_of_another() -> None:
    found = seen("cohort", "run")
    assert found.loads == (GENES, COHORT, PED, RUN, COUNTED)
    assert found.granted == (GENES, COHORT, RUN, COUNTED)
    assert found.withheld == found.limited == (), "what is counted of a cohort goes with it"
    assert seen("few").loads == (GENES, COHORT, FEW, PED, COUNTED)
    assert seen("ped").granted == (GENES, PED, COUNTED)
    assert seen("genes", "none").granted == seen().granted


def test_of_earlier_releases_nothing_is_open_that_was_counted_of_people() -> None:
    """Two versions of a callset that differ by one person tell of this person by what is left."""
    about = (*ABOUT, Load(OLD, "cohort", "variants", 99, None, None))
    before = View(8, "kept", (GENES, OLD, COUNTED))
    assert seen(view=before, about=tuple(load for load in about if load.load_id in before.loads), current=CURRENT).loads == (GENES,)
    assert seen("cohort", view=before, about=about).loads == (GENES, OLD, COUNTED)


def test_what_was_counted_of_a_callset_that_is_not_there_is_not_either() -> None:
    left = tuple(load for load in ABOUT if load.load_id in (GENES, COUNTED))
    view = View(9, None, (GENES, COUNTED))
    assert seen(view=view, about=left).loads == (GENES,)
    assert seen("cohort.frequencies", view=view, about=left).loads == (GENES, COUNTED)


def test_a_callset_without_people_is_open() -> None:
    sites = (Load(GENES, "clinvar", "variants", 0, None, None),)
    assert seen(view=View(1, None, (GENES,)), about=sites).granted == (GENES,)
