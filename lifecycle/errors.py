"""What can go wrong in a step: one class a failure, facts as attributes.

Every text names the object, what was expected, what was found, and what to do next. The engine
shows it to the user verbatim, so it never carries a secret.
"""

from __future__ import annotations


class LifecycleError(Exception):
    """A step halted. `str()` is the whole text that a user sees."""


class PortError(LifecycleError):
    """The far side of a port did not answer as it should.

    what: the object asked, such as `BMC of w3 at https://bmc-w3.example`. found: its last answer.
    """

    def __init__(self, what: str, found: str, remedy: str) -> None:
        super().__init__(f"{what}: expected an answer, found {found}. Remedy: {remedy}")
        self.what, self.found, self.remedy = what, found, remedy
