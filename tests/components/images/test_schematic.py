"""components/images/schematic.py: the same schematic has the factory's own identifier, or is refused."""

from __future__ import annotations

import pytest

from components.images.document import LockError
from components.images.schematic import BYTES_MAX, DEFAULT, read, scalar

ARGUMENTS = b"customization:\n  extraKernelArgs: [noapic, nolapic]\n"


class TestTheIdentifier:
    """Is the one that the factory gives: these pairs are from the image factory's own tests (pkg/schematic)."""

    @pytest.mark.parametrize(
        ("text", "identifier"),
        [
            ("{}", "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"),
            ("customization:\n", "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"),
            ("customization: {}", "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"),
            (
                'customization: {"extraKernelArgs": []}',
                "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
            ),
            (
                '{"customization": {"extraKernelArgs": ["noapic", "nolapic"], "systemExtensions": {}}}',
                "9cba8e32753f91a16c1837ab8abf356af021706ef284aef07380780177d9a06c",
            ),
            (
                '{"customization": {"meta": [{"key": 0xa, "value": "foo"}], "extraKernelArgs": []}}',
                "d308a2a5ee2277bed5fbaa104fcbc8d59122abfa737df987a95b4ca763459a7f",
            ),
            (
                '{"overlay": {"name": "rpi_generic", "image": "siderolabs/sbc-raspberrypi"}}',
                "ee21ef4a5ef808a9b7484cc0dda0f25075021691c8c09a276591eedb638ea1f9",
            ),
            (
                '{"customization": {"secureboot": {"includeWellKnownCertificates": true}}}',
                "fa8e05f142a851d3ee568eb0a8e5841eaf6b0ebc8df9a63df16ac5ed2c04f3e6",
            ),
            (
                '{"customization": {"diskImage": {"sectorSize": 4096}}}',
                "92833e9ddd9bb9e11b2464fa5525429f01866306d52ebd882ee08d7918f6d1ea",
            ),
        ],
    )
    def test_is_the_factorys(self, text: str, identifier: str) -> None:
        assert read(text.encode(), "x").id == identifier

    def test_of_all_fields_in_the_factorys_order(self) -> None:
        text = (
            "customization:\n"
            "  diskImage: {sectorSize: 4096}\n"
            "  secureboot: {includeWellKnownCertificates: true, enrollKeys: 'off'}\n"
            "  bootloader: sd-boot\n"
            "  systemExtensions: {officialExtensions: [siderolabs/amd-ucode]}\n"
            "  meta: [{value: '{}', key: 10}]\n"
            "  extraKernelArgs: [-console, 'a=b c']\n"
            "overlay: {name: rpi_generic, image: siderolabs/sbc-raspberrypi}\n"
        )
        assert read(text.encode(), "x").canonical().decode() == (
            "overlay:\n"
            "    image: siderolabs/sbc-raspberrypi\n"
            "    name: rpi_generic\n"
            "customization:\n"
            "    extraKernelArgs:\n"
            "        - -console\n"
            "        - a=b c\n"
            "    meta:\n"
            "        - key: 10\n"
            "          value: '{}'\n"
            "    systemExtensions:\n"
            "        officialExtensions:\n"
            "            - siderolabs/amd-ucode\n"
            "    bootloader: sd-boot\n"
            "    secureboot:\n"
            '        enrollKeys: "off"\n'
            "        includeWellKnownCertificates: true\n"
            "    diskImage:\n"
            "        sectorSize: 4096\n"
        )

    def test_does_not_depend_on_how_it_is_written(self) -> None:
        other = b'# a comment\n{"customization": {"extraKernelArgs": ["noapic",\n "nolapic"]}}'
        assert read(other, "x") == read(ARGUMENTS, "x")
        assert read(ARGUMENTS, "x").id != DEFAULT.id


class TestATextInGosYaml:
    """Plain where it may be, quoted as Go's writer quotes. Each pair was written by it (yaml v4.0.0-rc.4)."""

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("console=ttyS0,115200", "console=ttyS0,115200"),
            ("hugepagesz=2M", "hugepagesz=2M"),
            ("-talos.dashboard", "-talos.dashboard"),
            ("a b", "a b"),
            ("a:b", "a:b"),
            ("a: b", "'a: b'"),
            ("a:", "'a:'"),
            ("a #b", "'a #b'"),
            ("'a", "'''a'"),
            ("it's", "it's"),
            ('"', "'\"'"),
            (" a", "' a'"),
            ("a ", "'a '"),
            ("- a", "'- a'"),
            ("{}", "'{}'"),
            ("*a", "'*a'"),
            ("%a", "'%a'"),
            ("@a", "'@a'"),
            ("---", "'---'"),
            ("on", '"on"'),
            ("No", '"No"'),
            ("~", '"~"'),
            ("null", '"null"'),
            ("true", '"true"'),
            ("1", '"1"'),
            ("0x1f", '"0x1f"'),
            ("0X1F", '"0X1F"'),
            ("1_000", '"1_000"'),
            ("+_1", '"+_1"'),
            ("1e3", '"1e3"'),
            ("1e400", "1e400"),
            (".5", '".5"'),
            ("._", "._"),
            ("1:30", '"1:30"'),
            ("2001-01-01", '"2001-01-01"'),
            ("2001-13-45", "2001-13-45"),
            ("<<", '"<<"'),
            ("=", "="),
            ("1.2.3", "1.2.3"),
        ],
    )
    def test_is_written(self, text: str, written: str) -> None:
        assert scalar(text) == written


class TestRefuses:
    """What the factory would not take, or what we could not write as it does."""

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("customization: {kernelArgs: [a]}", "customization.kernelArgs: Extra inputs"),
            ("owner: ann", "owner: Extra inputs"),
            ("customization: {embeddedMachineConfiguration: a}", "embeddedMachineConfiguration: Extra inputs"),
            ("overlay: {image: a, name: b, options: {c: d}}", "overlay.options: Extra inputs"),
            ("overlay: {image: a}", "overlay.name: Field required"),
            ("customization: {extraKernelArgs: [1]}", "extraKernelArgs.0"),
            ('customization: {extraKernelArgs: ["a\\nb"]}', "extraKernelArgs.0"),
            ("customization: {extraKernelArgs: [ä]}", "extraKernelArgs.0"),
            ("customization: {extraKernelArgs: a}", "extraKernelArgs"),
            ("customization: {meta: [{key: 256, value: a}]}", "meta.0.key"),
            ("customization: {bootloader: lilo}", "bootloader"),
            ("customization: {systemExtensions: {officialExtensions: [../a]}}", "officialExtensions.0"),
            ("[]", "expected a mapping, found list"),
            ("", "expected a mapping, found NoneType"),
            ("{", "schematic in YAML"),
            ("{}\n---\n{}", "schematic in YAML"),
            ("customization: {}\ncustomization: {}", "a key twice"),
            ("a: &a [b]\nc: *a", "an alias"),
            ("? [a, b]\n: c", "a key that is no text"),
            ("!!python/object:os.system {}", "schematic in YAML"),
            ("[" * 5000, "schematic in YAML"),
        ],
    )
    def test_names_it(self, text: str, found: str) -> None:
        with pytest.raises(LockError, match=r"^a schematic is refused") as refused:
            read(text.encode(), "a schematic")
        assert found in str(refused.value)

    def test_a_text_that_is_too_long(self) -> None:
        with pytest.raises(LockError, match="at most"):
            read(b" " * (BYTES_MAX + 1), "x")
