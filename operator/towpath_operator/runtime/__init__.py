"""The moving parts: reflector, store, work queue, API client. None of them knows what a flow is."""
