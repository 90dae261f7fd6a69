"""A management controller with sessions that answers as real ones do."""

from __future__ import annotations

from typing import Any

from tests.lifecycle.adapters.wire_server import Asked, Reply, Wire

ROOT, SYSTEM = "/redfish/v1/", "/redfish/v1/Systems/1"
MANAGER, MEDIA = "/redfish/v1/Managers/1", "/redfish/v1/Managers/1/VirtualMedia"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
SESSIONS = "/redfish/v1/SessionService/Sessions"
PASSWORD = "s3cret-of-the-bmc"


class Played:
    """A management controller of one host."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.power: Any = "Off"
        self.boot: dict[str, Any] = {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideMode": "UEFI",
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "UefiHttp"],
            "HttpBootUri": None,
        }
        self.progress: dict[str, Any] | None = None
        self.patches: list[dict[str, Any]] = []
        self.resets: list[str] = []
        links = {"Sessions": {"@odata.id": SESSIONS}}
        wire.on(
            "GET",
            ROOT,
            Reply(
                body={
                    "@odata.id": ROOT,
                    "Id": "RootService",
                    "Name": "Root Service",
                    "RedfishVersion": "1.18.0",
                    "Systems": {"@odata.id": "/redfish/v1/Systems"},
                    "SessionService": {"@odata.id": "/redfish/v1/SessionService"},
                    "Links": links,
                }
            ),
        )
        service = {
            "@odata.id": "/redfish/v1/SessionService",
            "Id": "SessionService",
            "Name": "s",
            "Sessions": links["Sessions"],
        }
        wire.on("GET", "/redfish/v1/SessionService", self.with_session(lambda _: Reply(body=service)))
        wire.on("POST", SESSIONS, self.log_in)
        wire.on("DELETE", f"{SESSIONS}/1", Reply(204))
        wire.on("GET", SYSTEM, self.with_session(lambda _: Reply(body=self.system())))
        wire.on("PATCH", SYSTEM, self.with_session(self.patched))
        wire.on("POST", RESET, self.with_session(self.reset))
        self.slots: dict[str, dict[str, Any]] = {}
        wire.on("GET", MANAGER, self.with_session(lambda _: Reply(body=self.manager())))
        wire.on("GET", MEDIA, self.with_session(lambda _: Reply(body=self.media())))
        for kind in ("CD", "USBStick"):
            path = f"{MEDIA}/{kind}"
            wire.on("GET", path, self.with_session(lambda _, k=kind: Reply(body=self.slot(k))))
            wire.on("POST", f"{path}/Insert", self.with_session(lambda asked, k=kind: self.insert(k, asked)))
            wire.on("POST", f"{path}/Eject", self.with_session(lambda _, k=kind: self.eject(k)))

    def with_session(self, script: Any) -> Any:
        def checked(asked: Asked) -> Reply:
            token = {k.lower(): v for k, v in asked.headers.items()}.get("x-auth-token")
            return script(asked) if token == "token-1" else Reply(401, {"error": {"message": "no session"}})

        return checked

    def log_in(self, asked: Asked) -> Reply:
        if asked.body != {"UserName": "admin", "Password": PASSWORD}:
            return Reply(401, {"error": {"message": f"bad password {asked.body['Password']}"}})
        return Reply(201, {"Id": "1"}, {"X-Auth-Token": "token-1", "Location": f"{SESSIONS}/1"})

    def system(self) -> dict[str, Any]:
        types = ["On", "ForceOff", "ForceRestart", "GracefulShutdown"]
        action = {"target": RESET, "ResetType@Redfish.AllowableValues": types}
        return {
            "@odata.id": SYSTEM,
            "Id": "1",
            "Name": "w1",
            "Manufacturer": "Contoso",
            "PowerState": self.power,
            "Boot": self.boot,
            "Links": {"ManagedBy": [{"@odata.id": MANAGER}]},
            "Actions": {"#ComputerSystem.Reset": action},
            **({"BootProgress": self.progress} if self.progress else {}),
        }

    def manager(self) -> dict[str, Any]:
        return {"@odata.id": MANAGER, "Id": "1", "Name": "m", "VirtualMedia": {"@odata.id": MEDIA}}

    def media(self) -> dict[str, Any]:
        members = [{"@odata.id": f"{MEDIA}/{kind}"} for kind in self.slots]
        return {"@odata.id": MEDIA, "Name": "v", "Members": members}

    def slot(self, kind: str) -> dict[str, Any]:
        path = f"{MEDIA}/{kind}"
        actions = {
            "#VirtualMedia.InsertMedia": {"target": f"{path}/Insert"},
            "#VirtualMedia.EjectMedia": {"target": f"{path}/Eject"},
        }
        media = {"@odata.id": path, "Id": kind, "Name": kind, "MediaTypes": [kind], "Actions": actions}
        return {**media, "Image": None, "Inserted": False, **self.slots[kind]}

    def insert(self, kind: str, asked: Asked) -> Reply:
        self.slots[kind] = {"Image": asked.body["Image"], "Inserted": True}
        return Reply(204)

    def eject(self, kind: str) -> Reply:
        self.slots[kind] = {}
        return Reply(204)

    def patched(self, asked: Asked) -> Reply:
        self.patches.append(asked.body["Boot"])
        self.boot.update(asked.body["Boot"])
        return Reply(204)

    def reset(self, asked: Asked) -> Reply:
        kind = asked.body["ResetType"]
        if kind == "ForceOff" and self.power == "Off":
            return Reply(409, {"error": {"message": "already off"}})
        self.resets.append(kind)
        self.power = "Off" if kind == "ForceOff" else "On"
        return Reply(204)
