"""The real world behind the lifecycle's ports, each adapter on the field's own library.

All I/O of `lifecycle/` lives here. Constructing an adapter does none: it connects, and imports its
library, when a method is first called, so that a step pays only for what it touches and needs only
the credentials of what it touches. `build.ports` wires them for a stored command.
"""
