"""The admission webhook: the API server asks before it takes an object, and the operator answers at once.

Every replica answers, whether it works or stands by, for each knows everything; `reconcile.admission` decides.
"""
