"""Retries: bounded, on the step's clock, and never of what may have been done already."""

from __future__ import annotations

import pytest

from lifecycle.adapters.wire import RETRY_LIMIT_S, Answer, HttpJson, NoAnswer, Unsure, patiently, retry_after_s
from lifecycle.errors import PortError
from tests.lifecycle.adapters.wire_server import Reply, StillClock, Wire, silent_port


class Line:
    """Answers in turn, counting."""

    def __init__(self, *answers: Answer | NoAnswer) -> None:
        self.answers, self.sent = list(answers), 0

    def __call__(self) -> Answer:
        self.sent += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, NoAnswer):
            raise found
        return found


def answer(status: int, **headers: str) -> Answer:
    return Answer(status, headers, "")


class TestWhatIsSentAgain:
    """Only what may help, and only what is safe."""

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_repeatable_request(self, clock: StillClock, status: int) -> None:
        assert patiently(Line(answer(status), answer(200)), clock=clock).status == 200

    @pytest.mark.parametrize(("status", "sent"), [(429, 2), (500, 1), (503, 1)])
    def test_an_unrepeatable_one_only_if_it_certainly_did_not_happen(
        self, clock: StillClock, status: int, sent: int
    ) -> None:
        line = Line(answer(status), answer(200))
        patiently(line, clock=clock, repeatable=False)
        assert line.sent == sent

    @pytest.mark.parametrize(("lost", "sent"), [(False, 2), (True, 1)])
    def test_an_unrepeatable_one_whose_answer_was_lost_is_not(self, clock: StillClock, lost: bool, sent: int) -> None:
        line = Line(NoAnswer("reset", sent=lost), answer(200))
        try:
            patiently(line, clock=clock, repeatable=False)
        except NoAnswer:
            assert lost
        assert line.sent == sent

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
    def test_a_verdict_is_not(self, clock: StillClock, status: int) -> None:
        line = Line(answer(status))
        assert patiently(line, clock=clock).status == status
        assert line.sent == 1

    def test_what_the_caller_understands_is_not(self, clock: StillClock) -> None:
        line = Line(answer(429))
        patiently(line, clock=clock, final=frozenset({429}))
        assert line.sent == 1

    def test_pauses_grow_and_end(self, clock: StillClock) -> None:
        line = Line(answer(503))
        assert patiently(line, clock=clock).status == 503
        assert (line.sent, clock.slept) == (5, [0.5, 1.0, 2.0, 4.0])

    def test_nothing_is_begun_after_the_limit(self, clock: StillClock) -> None:
        line = Line(Answer(429, {"retry-after": "3600"}, ""))
        patiently(line, clock=clock)
        assert clock.slept == [30.0, 30.0]
        assert sum(clock.slept) <= RETRY_LIMIT_S


class TestRetryAfter:
    """A count of seconds or an HTTP date, in any case of letters; anything else is none."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("7", 7.0),
            (" 0 ", 0.0),
            ("Fri, 15 Jan 2027 08:00:20 GMT", 20.0),
            ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
            ("-3", None),
            ("1.5", None),
            ("tomorrow", None),
            ("", None),
        ],
    )
    def test_it_is_read(self, clock: StillClock, text: str, seconds: float | None) -> None:
        assert retry_after_s(Answer(429, {"retry-AFTER": text}, ""), clock) == seconds


class TestHttpJson:
    """What could not be asked, what was refused and what is unsure are told apart."""

    def ask(self, clock: StillClock, url: str) -> Answer:
        return HttpJson(clock).ask("the thing", "POST", url, {}, remedy="look", repeatable=False)

    def test_nobody_listens(self, clock: StillClock) -> None:
        with pytest.raises(PortError, match=r"the thing at http.*ConnectError.*Remedy: look") as caught:
            self.ask(clock, f"http://127.0.0.1:{silent_port()}/")
        assert not isinstance(caught.value, Unsure)

    @pytest.mark.parametrize("reply", [Reply(reset=True), Reply(500, "boom")])
    def test_unsure(self, wire: Wire, clock: StillClock, reply: Reply) -> None:
        wire.on("POST", "/", reply)
        with pytest.raises(Unsure, match="the thing"):
            self.ask(clock, f"{wire.url}/")
        assert len(wire.asked) == 1

    def test_refused(self, wire: Wire, clock: StillClock) -> None:
        wire.on("POST", "/", Reply(403, "x" * 5000))
        with pytest.raises(PortError, match="HTTP 403") as caught:
            self.ask(clock, f"{wire.url}/")
        assert len(str(caught.value)) < 400
        assert not isinstance(caught.value, Unsure)
