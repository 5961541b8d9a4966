import io

from rich.console import Console

from endoscope_report.tables import Section, plain_lines, show

SECTION = Section("Files", ("bytes", "path"), [("1,000", "a"), ("7", "b\x1b[2J\u202e")])


def shown(sections, *, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60, color_system=None)
    show(sections, console)
    return console.file.getvalue()


def test_plain_lines_are_aligned_and_move_no_cursor():
    assert list(plain_lines(SECTION)) == [
        "Files",
        "  bytes  path",
        "  1,000  a",
        "      7  b\\u001b[2J\\u202e",
    ]


def test_without_a_head():
    assert list(plain_lines(Section("x", (), [("a", "b"), ("cc", "d")]))) == [
        "x",
        "  a   b",
        "  cc  d",
    ]


def test_sections_without_rows_are_not_shown():
    text = shown([Section("none", ("a",), []), SECTION, SECTION], terminal=False)
    assert text.count("Files\n") == 2
    assert "\n\nFiles" in text
    assert "none" not in text


def test_piped_lines_are_not_wrapped():
    text = shown([Section("x", (), [("a" * 200,)])], terminal=False)
    assert "  " + "a" * 200 + "\n" in text


def test_a_terminal_gets_a_table_without_markup_of_strangers():
    text = shown([Section("x", ("path",), [("[red]a[/red]\x1b[2J",)])], terminal=True)
    assert "[red]a[/red]\\u001b[2J" in text
    assert "\x1b[2J" not in text
