"""How a node joins and leaves: plain Python behind ports, run when a step executes.

Never imports pulumi. `ports` says what a step needs of the world; `adapters` reach the real one, the
rehearsal's rack fulfils the same protocols on virtual time, so the drain that is rehearsed is the
drain that runs.
"""
