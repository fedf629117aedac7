"""Coded terms: none of them invented, and the one a name stands for is found."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from knowsam.data.segment_terms import Code, SegmentTerm, best_term, found_terms, known_terms, long_string, term_for


def code_book() -> dict[str, set[str]]:
    """Return the meanings of every SNOMED CT code that pydicom ships, in lower case."""
    meanings: dict[str, set[str]] = {}
    for code in codes.SCT.concepts.values():
        meanings.setdefault(code.value, set()).add(code.meaning.lower())
    return meanings


def test_every_code_stands_in_the_code_book_of_pydicom_with_its_meaning() -> None:
    book = code_book()
    used = [part for term in known_terms() for part in (term.type, term.category)]
    used += [modifier for side in ("left", "right", "bilateral", "anterior", "posterior") for modifier in side_of(side)]
    for code in used:
        assert code.scheme == "SCT"
        assert any(code.meaning.lower() in (known, known.split(" (")[0]) for known in book[code.value]), code
    assert len(known_terms()) > 100


def side_of(word: str) -> tuple[Code, ...]:
    term = best_term(f"{word} lung")
    assert term is not None
    return term.modifiers


def test_categories_are_those_of_dicom() -> None:
    allowed = {getattr(codes.cid7150, keyword).value for keyword in codes.cid7150.dir()}
    assert {term.category.value for term in known_terms()} <= allowed


def test_no_code_and_no_spelling_stands_for_two_terms() -> None:
    terms = known_terms()
    assert len({term.type.value for term in terms}) == len(terms)
    assert all(best_term(term.words) == term for term in terms)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("liver", "Liver"),
        ("LIVER", "Liver"),
        ("left atrium", "Left atrium"),
        ("LA", "Left atrium"),
        ("atrium_left", "Left atrium"),
        ("GTV", "Gross tumor volume"),
        ("tumour", "Neoplasm"),
        ("Metastases", "Neoplasm, Secondary"),
        ("oedema", "Edema"),
        ("kidney_L", "Kidney, left"),
        ("RightLung", "Lung, right"),
        ("rt. lung", "Lung, right"),
        ("anterior hippocampus", "Hippocampus, anterior"),
        ("Hippocampus left, posterior part", None),
        ("left posterior hippocampus", "Hippocampus, left, posterior"),
        ("upper lobe of the lung", "Upper lobe of lung"),
        ("class 1", None),
        ("left", None),
        ("liver tumour", None),
        ("Niere", None),
        ("", None),
    ],
)
def test_a_name_stands_for_its_term_or_for_none(name: str, words: str | None) -> None:
    term = best_term(name)
    assert (term.words if term else None) == words


def test_a_term_is_found_again_by_its_own_words() -> None:
    for name in ("left kidney", "tumour", "right anterior hippocampus"):
        term = term_for(name)
        assert term.is_standard
        assert term_for(term.words) == term


def test_words_that_nobody_knows_are_kept_under_a_private_scheme() -> None:
    term = term_for("  Raumforderung \\ links 肝 ")
    assert (term.type.scheme, term.type.meaning, term.is_standard) == ("99KNOWSAM", "Raumforderung links 肝", False)
    assert term_for("raumforderung links 肝").type.value == term.type.value
    assert term_for("Raumforderung rechts").type.value != term.type.value
    assert len(term.type.value) <= 16
    assert term.category.meaning == "Tissue"


@pytest.mark.parametrize(
    ("words", "kept"), [("a\\b\nc", "a b c"), ("x" * 70, "x" * 64), (" \t", "unnamed"), ("肝臓", "肝臓")]
)
def test_words_are_made_fit_for_dicom(words: str, kept: str) -> None:
    assert long_string(words) == kept


def test_a_search_finds_beginnings_of_words_and_puts_the_best_first() -> None:
    assert [term.words for term in found_terms("hipp")] == ["Hippocampus"]
    assert [term.words for term in found_terms("pulm art")] == ["Pulmonary artery"]
    assert {"Neoplasm", "Gross tumor volume"} <= {term.words for term in found_terms("tumo")}
    assert found_terms("left kidney")[0].words == "Kidney, left"
    assert found_terms("LA")[0].words == "Left atrium"
    assert found_terms("nothing of the kind") == ()


def test_a_term_without_modifiers_is_written_as_its_meaning() -> None:
    assert SegmentTerm(Code("1", "SCT", "Liver"), Code("2", "SCT", "Tissue")).words == "Liver"
