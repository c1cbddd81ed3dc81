"""The Kubernetes API as a flow's process sees it: its own run, the runs it calls, and nothing else.

`port` says what is asked of a cluster, `http` answers over httpx, `connect` finds the way from a pod or a laptop. Above
the port: `reports` tells how the run goes, `launcher` gives a flow called in a flow a run of its own, `ends` waits for
many runs with one watch. Nothing here is loaded by `import towpath`.
"""
