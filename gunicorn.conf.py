"""The application server, behind nginx.conf. gunicorn reads this file by itself when it is started in this folder."""

# No port: nobody but nginx, which is let in to this folder, reaches the application.
bind = "unix:/run/portico/gunicorn.sock"
umask = 0o007
# Three calls to Stripe at once may hang in a worker (clinic/stripe_gateway/breaker.py); as many threads are left for everything else.
workers, threads, worker_class = 2, 6, "gthread"
timeout, graceful_timeout = 60, 30

# More than nginx lets through, so that nginx alone says what is too large, with a page and a way out.
limit_request_line = 8190
limit_request_field_size = 33_000

# No header decides who asks, over which scheme or for which path. PORTICO_TRUSTED_PROXY says whom to believe.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
control_socket_disable = True
