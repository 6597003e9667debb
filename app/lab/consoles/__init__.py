"""Consoles: a proxy that waits for one websocket, and what speaks through it, RFB or a terminal."""
