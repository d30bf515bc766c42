"""Lost if it fails: a row of the catalogue reads "held" while nothing was tried, or its test could never have failed."""

from pathlib import Path

from tests.attack import catalogue

HERE = Path(__file__).parents[1] / "attack"


def test_every_row_has_tests_a_docstring_and_a_planted_weakness() -> None:
    assert catalogue.gaps(HERE) == []


def test_a_row_without_files_or_without_a_weakness_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_t01_matrix.py").write_text('"""T01."""\ndef test_it():\n    pass\n')
    (tmp_path / "test_t02_gate.py").write_text("def test_planted_it():\n    pass\n")
    gaps = catalogue.gaps(tmp_path)
    assert "T01: no planted weakness" in gaps and "test_t02_gate.py: no docstring" in gaps and "T03: no tests" in gaps


def test_a_row_is_held_only_if_all_of_its_tests_pass_and_seen_only_if_all_planted_ones_do() -> None:
    rows = catalogue.counted(
        [
            ("tests/attack/test_t01_matrix.py::test_a", True, 1.0),
            ("tests/attack/test_t01_matrix.py::test_planted_b", True, 0.5),
            ("tests/attack/test_t02_gate.py::test_a", True, 0.1),
            ("tests/attack/test_t02_more.py::test_a", False, 0.1),
            ("tests/attack/test_t03_fuzz.py::test_a", True, 0.1),
            ("tests/attack/test_knock_out.py::test_planted_a", False, 0.1),
            ("tests/house/test_walls.py::test_a", False, 9.0),
        ]
    )
    assert (rows["T01"].is_held, rows["T01"].is_seen, rows["T01"].seconds) == (True, True, 1.5)
    assert (rows["T02"].is_held, rows["T02"].is_seen) == (False, False)
    assert (rows["T03"].is_held, rows["T03"].is_seen) == (True, False)
    assert (rows["knock-out"].is_held, rows["knock-out"].is_seen) == (False, False)
    lines = catalogue.table(rows)
    assert lines[1].split()[:4] == ["T01", "yes", "yes", "1.5"]
    assert len(lines) == len(catalogue.ROWS) + 1
