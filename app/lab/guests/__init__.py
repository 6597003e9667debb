"""Virtual machines and containers of the lab: their configurations, their life, their copies."""
