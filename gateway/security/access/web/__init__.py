"""Read-only pages: view (what is shown), pages (HTML), app (who may ask for what), serve (where it listens)."""
