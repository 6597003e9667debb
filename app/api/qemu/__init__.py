"""Virtual machines on this host, without any cluster."""
