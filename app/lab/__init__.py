"""The lab: a stand-in for a Proxmox VE 9.1 cluster, a program of its own that knows nothing of the rest of Poolhouse.

`python -m app.lab --help` tells how to run it. `pve-9.1-schema.json.gz` holds facts of PVE 9.1.8's API: the names,
types, limits and permission checks of its methods, without any prose.
"""
