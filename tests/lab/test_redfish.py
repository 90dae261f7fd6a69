"""The management controllers: HTTPS with a certificate to verify, a password, and power that follows."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator

import httpx
import pytest

from lab import redfish
from lab.lab import SYSTEMS, Lab
from tests.lab.eventually import eventually

pytestmark = pytest.mark.lab


@pytest.fixture
def controllers(lab: Lab) -> Iterator[httpx.Client]:
    trusted = ssl.create_default_context(cafile=str(lab.layout.bmc_authority().pair.certificate))
    user = (redfish.USERNAME, redfish.PASSWORD)
    with httpx.Client(base_url=lab.layout.redfish_url, verify=trusted, auth=user, trust_env=False) as client:
        yield client


class TestControllers:
    """There is one for each system."""

    def test_are_listed(self, controllers: httpx.Client) -> None:
        listed = controllers.get("/redfish/v1/Systems").json()
        assert {member["@odata.id"].rpartition("/")[2] for member in listed["Members"]} == {
            redfish.system_id(number) for number in range(1, SYSTEMS + 1)
        }

    def test_turn_power_off_and_on(self, lab: Lab, controllers: httpx.Client) -> None:
        url = redfish.system_url(lab.layout, 1)
        assert controllers.get(url).json()["PowerState"] == "On"
        for asked, expected in (("ForceOff", "Off"), ("On", "On")):
            answer = controllers.post(f"{url}/Actions/ComputerSystem.Reset", json={"ResetType": asked})
            assert answer.status_code == httpx.codes.NO_CONTENT
            followed = functools.partial(self.power_is, controllers, url, expected)
            eventually(followed, f"the power {expected}")

    @staticmethod
    def power_is(controllers: httpx.Client, url: str, expected: str) -> bool:
        return bool(controllers.get(url).json()["PowerState"] == expected)

    def test_refuse_another_password(self, controllers: httpx.Client) -> None:
        answer = controllers.get("/redfish/v1/Systems", auth=(redfish.USERNAME, "another"))
        assert answer.status_code == httpx.codes.UNAUTHORIZED

    def test_are_not_trusted_without_their_authority(self, lab: Lab) -> None:
        cluster = ssl.create_default_context(cafile=str(lab.layout.authority().pair.certificate))
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{lab.layout.redfish_url}/redfish/v1/", verify=cluster, trust_env=False)
