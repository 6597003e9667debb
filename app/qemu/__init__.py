"""The gateway to the local hypervisor: typed values in; a value or a typed error out."""
