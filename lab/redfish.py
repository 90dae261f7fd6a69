"""Management controllers: OpenStack's Redfish emulator with its fake driver, over HTTPS, with a password."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import bcrypt

from lab import probes
from lab.layout import HOST, Layout
from lab.processes import Part

NAME = "redfish"

USERNAME, PASSWORD = "lab", "lab"
"""What every system of the emulator asks for. It is on loopback and holds nothing."""

SYSTEMS = uuid.uuid5(uuid.NAMESPACE_URL, "ingot:lab:redfish")
"""Of it the systems' ids are made, so that they are the same in every lab."""


DRIVE = {"Id": "1", "Name": "Disk 1", "CapacityBytes": 100 * 1024**3, "Protocol": "NVMe"}
"""Of each system; the emulator says of every drive that its model is C123 and its serial number 1234570."""


def system_name(number: int) -> str:
    """The name of a system; systems count from 1."""
    return f"w{number}"


def system_id(number: int) -> str:
    """The id of a system: the emulator answers under ids, as most controllers do under fixed paths."""
    return str(uuid.uuid5(SYSTEMS, system_name(number)))


def system_url(layout: Layout, number: int) -> str:
    """The address of a system, as it stands in a stack file."""
    return f"{layout.redfish_url}/redfish/v1/Systems/{system_id(number)}"


def part(layout: Layout) -> Part:
    """The emulator, with its systems powered on. It keeps what happened to them when it is started again."""
    authority = layout.bmc_authority()
    pair = authority.server(NAME, HOST, "localhost")
    config = _write_config(layout)
    argv = [sys.executable, "-m", "sushy_tools.emulator.main", "--config", str(config), "--fake"]
    argv += ["--interface", HOST, "--port", str(layout.shape.redfish_port)]
    argv += ["--ssl-certificate", str(pair.certificate), "--ssl-key", str(pair.key)]
    url = f"{layout.redfish_url}/redfish/v1/Systems"
    return Part(NAME, argv, probes.Asked(url, authority.pair.certificate, user=(USERNAME, PASSWORD)))


def _write_config(layout: Layout) -> Path:
    """The emulator's configuration, which is Python, and its file of passwords."""
    folder = layout.folder / "redfish"
    (folder / "state").mkdir(parents=True, exist_ok=True)
    users = folder / "users"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4))  # asked at each request; guards nothing
    users.write_text(f"{USERNAME}:{hashed.decode()}\n", encoding="utf-8")
    systems = [
        {
            "uuid": system_id(number),
            "name": system_name(number),
            "power_state": "On",
            "external_notifier": False,
            "nics": [{"mac": f"52:54:00:00:02:{number:02x}", "ip": f"10.0.1.{number}"}],
        }
        for number in range(1, layout.shape.systems + 1)
    ]
    numbers = range(1, layout.shape.systems + 1)
    storage = {system_id(number): [{"Id": "1", "Name": "NVMe", "Drives": [DRIVE["Id"]]}] for number in numbers}
    drives = {(system_id(number), "1"): [DRIVE] for number in numbers}
    config = folder / "emulator.conf.py"
    config.write_text(
        f"SUSHY_EMULATOR_STATE_DIR = {str(folder / 'state')!r}\n"
        f"SUSHY_EMULATOR_AUTH_FILE = {str(users)!r}\n"
        f"SUSHY_EMULATOR_FAKE_SYSTEMS = {systems!r}\n"
        f"SUSHY_EMULATOR_STORAGE = {storage!r}\n"
        f"SUSHY_EMULATOR_DRIVES = {drives!r}\n",
        encoding="utf-8",
    )
    return config
