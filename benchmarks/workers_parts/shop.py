"""The host: a shop in Flask, which asks a database, fills a template and keeps some pages.

With `PROFILER`, a name in `heap.profilers`, and `PROFILER_SETTINGS`, JSON, each process that
imports this starts a peer's profiler.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

from flask import Flask, render_template_string

_PAGES = 200
_ARTICLES = 1000
_PER_PAGE = 40
_TEMPLATE = """<h1>Page {{ number }}</h1>
{% for article in articles %}
<p><b>{{ article.name|upper }}</b> {{ article.text }} {{ "%.2f"|format(article.price * 1.19) }}</p>
{% endfor %}"""

app = Flask(__name__)
_own = threading.local()
_numbers = itertools.count()
_kept: OrderedDict[int, str] = OrderedDict()

if "PROFILER" in os.environ:
    from heap import profilers

    profilers.start(
        os.environ["PROFILER"],
        json.loads(os.environ["PROFILER_SETTINGS"]),
        Path(tempfile.mkdtemp(dir=os.environ["PROFILER_FOLDER"])),
    )


def _database() -> sqlite3.Connection:
    """Return this thread's database, in memory."""
    if not hasattr(_own, "database"):
        _own.database = database = sqlite3.connect(":memory:")
        database.row_factory = sqlite3.Row
        database.execute("create table articles (id integer primary key, name, text, price)")
        rows = [(f"article {n}", f"what is said of it {n} " * 5, n * 0.7) for n in range(_ARTICLES)]
        database.executemany("insert into articles (name, text, price) values (?, ?, ?)", rows)
    return _own.database  # type: ignore[no-any-return]


@app.get("/")
def page() -> str:
    """Return a page, and keep it for a while."""
    number = next(_numbers)
    first = number * _PER_PAGE % _ARTICLES
    query = "select name, text, price from articles where id > ? limit ?"
    articles = [dict(row) for row in _database().execute(query, (first, _PER_PAGE))]
    _kept[number] = text = render_template_string(_TEMPLATE, number=number, articles=articles)
    if len(_kept) > _PAGES:
        _kept.popitem(last=False)
    return text
