"""Pools, resources, options and everything else that belongs to the cluster as a whole."""
