"""Celery tasks, through a broker that is a folder."""

import os
from pathlib import Path

import celery
import shop

_folder = Path(os.environ["CONFIG"]).with_name("broker")
app = celery.Celery("shop", broker="filesystem://", backend=f"file://{_folder / 'results'}")
app.conf.broker_transport_options = {
    "data_folder_in": str(_folder / "tasks"),
    "data_folder_out": str(_folder / "tasks"),
    "control_folder": str(_folder / "control"),
}
app.conf.worker_prefetch_multiplier = 1
for _name in ("tasks", "results", "control"):
    (_folder / _name).mkdir(parents=True, exist_ok=True)


@app.task
def answer(path):
    return shop.answer(path).decode()
