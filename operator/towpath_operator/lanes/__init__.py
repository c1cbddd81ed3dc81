"""Whose turn it is: runs that hold slots of queues, limits and Deployments, and runs that wait for them; in memory."""
