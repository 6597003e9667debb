"""Guests on Proxmox VE."""
