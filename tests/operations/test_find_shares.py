"""The places of an answer are shared: nothing that thousands have hides the rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operations.catalogue.types import TableName
from operations.find_shares import Share, chosen, shares
from operations.finding import Fit, Hit, Place, Standing

KINDS = ("live", "bin", "archive", "history")


def hit(kind: str, number: int, *, fit: Fit = Fit.WORD, table: str = "people") -> Hit:
    place = Place(kind, KINDS.index(kind), kind)
    return Hit(TableName("app", table), f"{kind} {number}", (), fit, (), [place])


def counted(hits: list[Hit]) -> dict[str, int]:
    return {kind: found for kind in KINDS if (found := sum(h.best.kind == kind for h in hits))}


def test_what_is_gone_has_places_beside_a_name_that_many_have() -> None:
    many = [hit("live", n) for n in range(100)]
    few = [hit("bin", n) for n in range(3)] + [hit("history", n) for n in range(50)]
    assert counted(chosen(many, 30)) == {"live": 30}
    assert counted(chosen(many + few, 30)) == {"live": 14, "bin": 3, "history": 13}
    assert counted(chosen(many + few, 2)) == {"live": 1, "bin": 1}


def test_the_best_of_each_standing_are_told() -> None:
    """The whole value before a word, a word before a part; equally good tables take turns."""
    hits = [hit("live", n, fit=Fit.INSIDE) for n in range(5)]
    hits += [hit("live", n, fit=Fit.WORD) for n in range(5, 9)]
    hits += [hit("live", n, fit=Fit.WORD, table="orders") for n in range(20, 29)]
    hits += [hit("live", 9, fit=Fit.EXACT), hit("bin", 1, fit=Fit.DEEP)]
    told = chosen(hits, 6)
    assert [(str(h.table), h.record_id) for h in told] == [
        ("app.people", "live 9"),
        ("app.people", "bin 1"),
        ("app.people", "live 5"),
        ("app.orders", "live 20"),
        ("app.people", "live 6"),
        ("app.orders", "live 21"),
    ]


def test_one_place_goes_to_the_best() -> None:
    (told,) = chosen([hit("live", 1), hit("history", 2, fit=Fit.KEY)], 1)
    assert told.record_id == "history 2"


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.integers(1, 40))
def test_each_has_its_part_and_no_place_stays_empty(numbers: list[int], places: int) -> None:
    hits = [hit(k, n) for k, many in zip(KINDS, numbers, strict=True) for n in range(many)]
    told = counted(chosen(hits, places))
    assert sum(told.values()) == min(places, sum(numbers))
    part = places // max(sum(many > 0 for many in numbers), 1)
    for kind, many in zip(KINDS, numbers, strict=True):
        assert told.get(kind, 0) >= min(many, part)


def test_a_source_that_comes_later_has_its_share_too() -> None:
    backup = Hit(TableName("app", "people"), "7", (), Fit.WORD, (), [Place("backup", 4, "there")])
    told = chosen([*(hit("live", n) for n in range(9)), backup], 4)
    known = [Standing("live", 0, "Live", "live", "Live"), Standing("bin", 1, "Bin", "", "")]
    first, second, third = shares(told, {"live"}, known)
    assert first == Share(known[0], tuple(told[:1] + told[2:]), more=True)
    assert (second.standing.title, second.hits, second.more) == ("Backup", (backup,), False)
    assert third == Share(known[1], (), more=False)
