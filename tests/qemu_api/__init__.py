"""Local QEMU, through HTTP."""
