"""Firewall settings of the cluster, of nodes and of guests; nothing is filtered, only kept and checked."""
