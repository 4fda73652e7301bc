"""What the scenarios share: a server process, clients and workers, raw protocol access."""
