"""`python -m app.lab`: one lab on two ports, until SIGINT or SIGTERM."""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from aiohttp import web

from app.lab import certificate, control, handlers, saving, seed
from app.lab.numbers import number_of
from app.lab.running import Lab
from app.lab.server import Door, tls


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A stand-in for a Proxmox VE 9.1 cluster.")
    parser.add_argument("--host", default="127.0.0.1", help="address of the API (default %(default)s)")
    parser.add_argument("--port", type=int, default=8006, help="port of the API (default %(default)s; 0: a free one)")
    parser.add_argument(
        "--control-port", type=int, help="the control's, on 127.0.0.1 (default: port + 1, or a free one; 0: none)"
    )
    parser.add_argument("--state", default="fresh", help="fresh, demo, or a saved file (default %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="load this file if it is there, and save to it")
    parser.add_argument("--guests", type=int, default=0, metavar="N", help="add N guests to the start")
    parser.add_argument("--nodes", type=_nodes, default=2, metavar="N", help="2 to 32 (default %(default)s)")
    parser.add_argument("--time-scale", type=float, default=1.0, metavar="X", help="PVE's own durations times X")
    parser.add_argument("--password", help="of root@pam (default: POOLHOUSE_LAB_PASSWORD, else a new one is printed)")
    parser.add_argument("--cert-dir", type=Path, metavar="DIR", help="where the certificate is kept")
    return parser


def _nodes(text: str) -> int:
    number = number_of(text)
    if number is None or not seed.FEWEST <= number <= seed.MOST:
        raise argparse.ArgumentTypeError(f"{text}: {seed.FEWEST} to {seed.MOST} nodes")
    return number


def _password(given: str | None) -> str:
    password = given or os.environ.get("POOLHOUSE_LAB_PASSWORD")
    if not password:
        password = secrets.token_urlsafe(12)
        _say(f"password of root@pam: {password}")
    return password


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _build(options: argparse.Namespace, pem: str) -> Lab:
    password = _password(options.password)
    lab = Lab(
        lambda: seed.start(options.state, password, options.guests, options.nodes),
        keep=options.keep,
        time_scale=options.time_scale,
        certificate=pem,
    )
    seed.set_root_password(lab.world, password)
    return lab


async def _serve(options: argparse.Namespace, folder: Path) -> None:
    crt, key = certificate.kept_in(folder)
    lab = _build(options, crt.read_text())
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    door = web.ServerRunner(Door(lab), shutdown_timeout=1)
    back_door = web.ServerRunner(control.server(lab), shutdown_timeout=1)
    await door.setup()
    await back_door.setup()
    lab.open_ports()
    if options.control_port != 0:
        control_port = options.control_port or (options.port + 1 if options.port else 0)
        await web.TCPSite(back_door, "127.0.0.1", control_port).start()
        _say(f"control: http://127.0.0.1:{_port(back_door)}/__lab__/")
    await web.TCPSite(door, options.host, options.port, ssl_context=tls(str(crt), str(key)), backlog=512).start()
    _say(f"API: https://{options.host}:{_port(door)}/api2/json")
    await over.wait()
    await door.cleanup()
    await back_door.cleanup()
    await lab.close()


def _port(runner: web.ServerRunner) -> int:
    """The port that its one site has got."""
    return int(runner.addresses[0][1])


def main(argv: list[str] | None = None) -> int:
    """Run a lab until it is told to end; returns the exit code."""
    options = _options().parse_args(argv)
    handlers.load()
    try:
        if options.cert_dir:
            asyncio.run(_serve(options, options.cert_dir))
        else:
            with tempfile.TemporaryDirectory(prefix="lab-") as folder:
                asyncio.run(_serve(options, Path(folder)))
    except (saving.BadState, OSError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
