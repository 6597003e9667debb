"""gunicorn for the web process: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`.

POOLHOUSE_HOST, POOLHOUSE_PORT    where it listens (127.0.0.1:5000); nginx is what the world talks to
POOLHOUSE_WEB_WORKERS             processes (1; more need POOLHOUSE_REDIS_URL, where rate limits are counted then)
POOLHOUSE_WEB_THREADS             requests that one process answers at a time (16)
"""

from __future__ import annotations

import os

host = os.environ.get("POOLHOUSE_HOST") or "127.0.0.1"
bind = f"{f'[{host}]' if ':' in host else host}:{os.environ.get('POOLHOUSE_PORT') or '5000'}"
proc_name = "poolhouse-web"
worker_class = "gthread"
workers = int(os.environ.get("POOLHOUSE_WEB_WORKERS") or 1)
threads = int(os.environ.get("POOLHOUSE_WEB_THREADS") or 16)

keepalive = 75  # longer than nginx keeps an idle connection to us, so that it never sends into one that just closed
timeout = 60  # a process that does not even turn its loop for so long is stuck; waiting requests are no sign of that
graceful_timeout = 15

limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

accesslog = None  # the app logs each request, with user and request id
errorlog = "-"
loglevel = "warning"

# Whom to believe about the caller's address and scheme is the app's own setting, in one place.
forwarded_allow_ips = ""
# Two instances of one user would fight over the one socket in his home folder.
control_socket_disable = True
