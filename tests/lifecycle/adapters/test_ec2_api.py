"""Whatever AWS answers: who was asked, for what, what it said, and what to do."""

from __future__ import annotations

import logging
import time

import pytest
from botocore import exceptions
from moto import mock_aws

from lifecycle.adapters.ec2_api import ATTEMPTS, Answered, Aws, Refused
from lifecycle.ec2 import Place
from lifecycle.errors import LifecycleError, NeedsAttention, PortError
from lifecycle.ports import Power
from tests.lifecycle.adapters.cloud import REGION, Cloud, FakeClock, controller, fresh_session, machines, pin

PLACE = Place(REGION, "blue", "w1")


def ask(cloud: Cloud) -> None:
    Aws(cloud.session, attempts=1).ask(PLACE, "TerminateInstances", InstanceIds=["i-0"])


class TestAnErrorOfAws:
    """Is asked again where that may help, and told at once where it cannot."""

    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "Throttling", "ThrottlingException"])
    def test_too_many_requests(self, cloud: Cloud, code: str) -> None:
        cloud.fails("TerminateInstances", code, "Request limit exceeded.", status=503)
        with pytest.raises(PortError) as failed:
            ask(cloud)
        said = str(failed.value)
        assert said.startswith("EC2 of w1 in eu-central-1, TerminateInstances: ")
        assert f"found {code}: Request limit exceeded." in said
        assert "runbooks/aws.md#throttled" in said

    @pytest.mark.parametrize(
        ("code", "status"), [("InternalError", 500), ("Unavailable", 503), ("IncorrectState", 400)]
    )
    def test_what_passes(self, cloud: Cloud, code: str, status: int) -> None:
        cloud.fails("TerminateInstances", code, status=status)
        with pytest.raises(PortError, match=rf"{code}.*runbooks/aws.md#silent"):
            ask(cloud)

    def test_a_permission_that_is_missing_is_named(self, cloud: Cloud) -> None:
        cloud.fails(
            "TerminateInstances",
            "UnauthorizedOperation",
            "You are not authorized to perform this operation. Encoded authorization failure message: aaaaaaaa",
            status=403,
        )
        with pytest.raises(NeedsAttention) as refused:
            ask(cloud)
        said = str(refused.value)
        assert "UnauthorizedOperation: no permission for ec2:TerminateInstances" in said
        assert "runbooks/aws.md#permission" in said
        assert "aaaaaaaa" not in said

    def test_with_the_action_and_resource_that_aws_names(self, cloud: Cloud) -> None:
        cloud.fails(
            "TerminateInstances",
            "UnauthorizedOperation",
            "User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole on resource: "
            "arn:aws:iam::1:role/blue-worker because no identity-based policy allows it",
        )
        with pytest.raises(NeedsAttention, match="no permission for iam:PassRole on arn:aws:iam::1:role/blue-worker"):
            ask(cloud)

    @pytest.mark.parametrize("code", ["AuthFailure", "ExpiredToken", "RequestExpired"])
    def test_credentials_that_do_not_hold(self, cloud: Cloud, code: str) -> None:
        cloud.fails("TerminateInstances", code, status=401)
        with pytest.raises(NeedsAttention, match=rf"{code}.*runbooks/aws.md#credentials"):
            ask(cloud)

    def test_what_it_will_always_say_no_to(self, cloud: Cloud) -> None:
        cloud.fails("TerminateInstances", "OperationNotPermitted", "has disableApiTermination")
        with pytest.raises(Refused, match=r"OperationNotPermitted: has disableApi.*runbooks/aws.md#refused"):
            ask(cloud)

    def test_a_code_that_the_caller_knows_is_the_callers(self, cloud: Cloud) -> None:
        cloud.fails("TerminateInstances", "Odd")
        with pytest.raises(Answered, match="Odd: said so"):
            Aws(cloud.session, attempts=1).ask(
                PLACE, "TerminateInstances", told=frozenset({"Odd"}), InstanceIds=["i-0"]
            )


class TestNoAnswer:
    """Is a failure of the far side; a client that cannot ask is not."""

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (exceptions.EndpointConnectionError(endpoint_url="https://ec2"), PortError),
            (exceptions.ReadTimeoutError(endpoint_url="https://ec2"), PortError),
            (exceptions.ConnectionClosedError(endpoint_url="https://ec2"), PortError),
            (exceptions.NoCredentialsError(), NeedsAttention),
            (exceptions.ProfileNotFound(profile="p"), NeedsAttention),
        ],
    )
    def test_is_told_apart(self, cloud: Cloud, error: Exception, kind: type[LifecycleError]) -> None:
        def happens() -> object:
            raise error

        cloud.fails("TerminateInstances", "x").happens = happens
        with pytest.raises(kind, match=type(error).__name__):
            ask(cloud)

    def test_without_credentials_it_is_said_where_they_are_looked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, "none")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(NeedsAttention, match=r"NoCredentialsError.*aws sts get-caller-identity"):
            Aws(fresh_session, attempts=1).ask(PLACE, "DescribeInstances")


class TestBotocore:
    """What passes within seconds never reaches a step."""

    def test_asks_again_by_itself(self, cloud: Cloud) -> None:
        made = Aws(cloud.session)
        client = made._client("ec2", REGION)
        assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": ATTEMPTS}

    def test_pages_are_read_to_the_end(self) -> None:
        with mock_aws():
            see = fresh_session().client("ec2")
            for _ in range(110):
                see.run_instances(ImageId="ami-0", MinCount=1, MaxCount=1)
            found = list(Aws(fresh_session, attempts=1).all(PLACE, "DescribeInstances", "Reservations"))
        assert len(found) == 110


class TestNothingSecret:
    """Neither credentials nor what a machine starts with is written anywhere."""

    def test_is_in_logs_or_errors(self, cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        of = machines(cloud, FakeClock(time.time()))
        cloud.fails("RunInstances", "InvalidParameterValue")
        with pytest.raises(NeedsAttention) as refused:
            of.install("w1", pin())
        assert of.power("w1", controller()) is Power.OFF
        for text in (str(refused.value), caplog.text):
            assert '"node"' not in text
            assert "AKIA" not in text
