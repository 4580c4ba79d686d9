"""Registries: one list per kind of choice, an unknown name is an error, entries are imported on demand."""

import subprocess
import sys

import pytest

from stdl_events.errors import NotationError
from stdl_events.lazy import lazy_names
from stdl_events.registry import Registry


def make_registry() -> Registry[object]:
    return Registry("fruit", NotationError, {"apple": object(), "decimal": "decimal:Decimal"})


def test_names_come_in_order_and_entries_on_demand():
    fruits = make_registry()
    assert fruits.names == tuple(fruits) == ("apple", "decimal")
    assert "decimal" in fruits
    assert fruits["decimal"].__name__ == "Decimal"


def test_listing_imports_no_entry():
    program = (
        "import sys; from stdl_events.errors import RuleError; from stdl_events.registry import Registry\n"
        "r = Registry('x', RuleError, {'a': 'colorsys:rgb_to_hsv'})\n"
        "assert r.names == ('a',) and 'a' in r and len(r) == 1 and r.check('a') == 'a'\n"
        "assert 'colorsys' not in sys.modules\n"
        "r['a']\n"
        "assert 'colorsys' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("name", "todo"), [("aple", "did you mean 'apple'"), ("zzz", "choose one"), (3, "choose one")])
def test_an_unknown_name_is_an_error_that_lists_the_names(name, todo):
    fruits = make_registry()
    for look_up in (fruits.check, fruits.__getitem__, fruits.unregister):
        with pytest.raises(NotationError, match=f"fruit: got {name!r}; expected apple or decimal; {todo}"):
            look_up(name)
    assert fruits.names == ("apple", "decimal")


def test_an_entry_is_registered_once_and_can_be_taken_out():
    fruits, pear = make_registry(), object()
    assert fruits.register("pear", pear) is pear
    assert fruits["pear"] is pear
    with pytest.raises(NotationError, match="a second entry of that name"):
        fruits.register("pear", object())
    assert fruits["pear"] is pear
    fruits.unregister("pear")
    assert "pear" not in fruits


class Berries:
    """A family, as a package that is installed beside lists it."""

    placeholder = "BERRY"
    summary = "berries"
    names = ("Blue", "Black")

    def __getitem__(self, name):
        return f"a {name} berry"


BERRIES = Berries()


def test_a_family_is_found_by_name_and_not_listed():
    families = {"berry": f"{__name__}:BERRIES"}
    apple = object()
    fruits = Registry("fruit", NotationError, {"apple": apple}, families=families)
    assert fruits["berry:Blue"] == "a Blue berry"
    assert (fruits.names, dict(fruits)) == (("apple",), {"apple": apple})
    assert fruits.choices == ("apple", "berry:BERRY")
    assert fruits.families == {"berry:BERRY": BERRIES}
    for name, message in (
        ("berry:Blu", "got 'berry:Blu'; expected berry:Blue or berry:Black; did you mean 'berry:Blue'"),
        ("berry:BLACK", "did you mean 'berry:Black'"),
        ("berry:", "expected berry:Blue or berry:Black"),
        ("apples", "expected apple or berry:BERRY; did you mean 'apple'"),
        ("nut:Hazel", "expected apple or berry:BERRY; choose one"),
    ):
        with pytest.raises(NotationError, match=message):
            fruits.check(name)
    with pytest.raises(NotationError, match="expected apple; choose one"):
        fruits.unregister("berry:Blue")


def test_a_reserved_name_is_no_entry():
    with pytest.raises(NotationError, match="fruit 'any': got a name that means something else"):
        Registry("fruit", NotationError, {}, reserved=("any",)).register("any", object())


def test_lazy_names_are_imported_once_and_unknown_ones_refused():
    get, names = lazy_names("stdl_events.errors", {"Decimal": "decimal"})
    assert "Decimal" in names()
    assert get("Decimal").__name__ == "Decimal"
    with pytest.raises(AttributeError, match=r"module 'stdl_events.errors' has no attribute 'nothing'"):
        get("nothing")
    del sys.modules["stdl_events.errors"].Decimal
