"""What the listing is compared with: a Flask route that returns the same bytes and does nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response

_BODY = Path(os.environ["BENCH_BODY"]).read_bytes()

app = Flask(__name__)


@app.get("/bare")
def bare() -> Response:
    return Response(_BODY, mimetype="application/json")
