"""Use cases on the local hypervisor."""
