"""What runs flows and tasks: `core` decides, `drive` does, `ports` says what may be plugged in."""
