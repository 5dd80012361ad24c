import doctest
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"


def test_the_examples_of_the_page_print_what_it_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, run = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert run > 30
    assert not failed
