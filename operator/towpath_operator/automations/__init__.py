"""Automations as they run: what is seen of runs goes to desks, what is decided goes out as webhooks and API calls."""
