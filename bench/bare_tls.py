"""What the lab is compared with: an aiohttp server over TLS that sends the bytes of BENCH_BODY, whatever is asked.

`python -m bench.bare_tls PORT CERTIFICATE KEY`; the log-in is answered too, for clients that begin with one.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

from aiohttp import web

_BODY = Path(os.environ["BENCH_BODY"]).read_bytes()
_TICKET = b'{"data":{"ticket":"PVE:root@pam:0::0","CSRFPreventionToken":"0","username":"root@pam"}}'
_JSON = {"Content-Type": "application/json;charset=UTF-8"}


async def _answer(request: web.Request) -> web.Response:
    return web.Response(body=_TICKET if request.method == "POST" else _BODY, headers=_JSON)


def main(port: str, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, print=None, access_log=None)


main(*sys.argv[1:])
