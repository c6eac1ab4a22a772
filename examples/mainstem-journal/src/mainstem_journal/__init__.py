"""An adapter for Mainstem: a store that is one file of JSON lines. Opened by ``journal:`` URLs."""
