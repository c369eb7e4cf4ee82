"""Who may do what on this box: administration over a unix socket, roles from the kernel, pages that only show."""
