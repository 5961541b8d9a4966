from endoscope_report.file_names import FileNames


def test_no_two_owners_share_a_name(tmp_path):
    names = FileNames(tmp_path)
    claimed = [
        names.claim(owner, *words).name
        for owner, words in [
            ("1", ("a", "x.gz")),
            ("2", ("a", "X.gz")),
            ("3", ("a", "x.gz")),
            ("4", ("b", "c-x.gz")),
            ("5", ("b-c", "x.gz")),
        ]
    ]
    assert claimed == ["a-x.gz", "a-2-X.gz", "a-3-x.gz", "b-c-x.gz", "b-c-2-x.gz"]


def test_who_tries_again_gets_the_same(tmp_path):
    names = FileNames(tmp_path)
    assert names.claim("1", "a", "x") == names.claim("1", "a", "x") == tmp_path / "a-x"


def test_what_is_there_keeps_its_name(tmp_path):
    (tmp_path / "a-x").write_text("before")
    assert FileNames(tmp_path).claim("1", "a", "x").name == "a-2-x"


def test_a_name_of_any_length_can_be_written(tmp_path):
    path = FileNames(tmp_path).claim("1", "s" * 80, "n" * 5000 + ".tar.gz")
    assert len(path.name) < 210
    assert path.name.endswith("n.tar.gz")
