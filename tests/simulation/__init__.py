"""DynamoDB in memory, many processes on it, everything that can go wrong, from one seed.

``python -m simulation seed 7`` runs one seed, ``soak`` many, ``mutants`` breaks the code on purpose.
"""
