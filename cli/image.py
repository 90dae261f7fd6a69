"""`ingot image`: what is pinned, how it gets there, and whether a file is it.

Only `pin` writes, and only stacks/images.lock.json, whole or not at all. Nothing else in the project ever
resolves a version.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import image_inputs as inputs
from cli.table import table

if TYPE_CHECKING:
    from components.images.difference import Change

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "stacks" / "images.lock.json"
DEFAULT_ARCHITECTURES: Final = ("x86_64", "aarch64")
"""Those that a stack file can name."""
SHOWN_DIGITS: Final = 12
"""Of a digest or fingerprint in a table; --json has all."""

app = typer.Typer(add_completion=False, no_args_is_help=True)

Os = Annotated[str, typer.Argument(help="fedora-coreos, flatcar or talos.", metavar="OS")]
Version = Annotated[str, typer.Argument(help="One exact release, such as 44.20260707.3.1.", metavar="VERSION")]
LockFile = Annotated[Path, typer.Option("--lock", help="The lock file.", show_default="stacks/images.lock.json")]
Arch = Annotated[
    list[str] | None,
    typer.Option("--arch", help="x86_64, aarch64, ppc64le or s390x; several times.", show_default="those pinned"),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", help="A publisher's metadata, a file or a URL of its; several times."),
]
Files = Annotated[
    Path | None,
    typer.Option("--files", help="A mirror, as `wget -x` lays it out; then nothing is fetched.", file_okay=False),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", help="The publisher's public key, instead of its URL.", dir_okay=False, exists=True),
]
SchematicId = Annotated[str | None, typer.Option("--schematic", help="Of a Talos image: its 64 digits.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command(epilog="Example: ingot image pin fedora-coreos 44.20260707.3.1 --metadata stable.json")
def pin(
    os: Os,
    version: Version,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", help="Several times if need be.", show_default="x86_64 and aarch64"),
    ] = None,
    metadata: Metadata = None,
    schematic: Annotated[
        Path | None,
        typer.Option("--schematic", help="What a Talos image is made of, in YAML.", dir_okay=False, exists=True),
    ] = None,
    key: KeyFile = None,
    files: Files = None,
    lock: LockFile = LOCK,
) -> None:
    """Read what the publisher says of a release, check it, and write it into the lock.

    A published release never changes: pinning it again adds AMIs of new regions, and refuses anything else.
    Flatcar and Talos publish no SHA-256, so their files are fetched (or taken from --files) and digested;
    Flatcar's signatures are verified first. Exit code 1: refused, the lock is as it was.
    """
    from components.images import pinning, request
    from components.images.lock import load
    from lifecycle.adapters.files import write_atomically

    if schematic and os != "talos":
        raise typer.BadParameter("only Talos has schematics", param_hint="--schematic")
    source = inputs.source(os, files)
    load(lock)  # a broken one is refused before anything is fetched
    asked = request.Request(
        version=version,
        architectures=inputs.architectures(arch or DEFAULT_ARCHITECTURES, os),
        metadata=inputs.documents(metadata, source),
        schematic=inputs.file(schematic) if schematic else None,
        key=inputs.file(key) if key else None,
    )
    notes: list[str] = []
    found = request.oses()[os].obtain(asked, source, notes.append)
    before = load(lock)  # again: fetching may have taken an hour
    after = pinning.pin(before, found, " and ".join(g.where for g in asked.metadata) or f"{os} {version}")
    data = after.to_bytes()
    changed = data != before.to_bytes()
    if changed:
        write_atomically(lock, data, lock.stat().st_mode & 0o777)
    for release in found:
        typer.echo(f"{release}: {len(release.artifacts)} artifacts, {len(release.amis)} AMIs")
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{lock} {'written' if changed else 'is as it was'}")


@app.command(epilog="Example: ingot image verify flatcar 4593.2.4 metal --arch x86_64 --file image.bin.bz2")
def verify(
    os: Annotated[str | None, typer.Argument(help="Only this OS.", metavar="OS", show_default="all")] = None,
    version: Annotated[
        str | None, typer.Argument(help="Only this release.", metavar="VERSION", show_default="all")
    ] = None,
    artifact: Annotated[
        list[str] | None, typer.Argument(help="By their names in the lock.", show_default="all")
    ] = None,
    arch: Arch = None,
    schematic: SchematicId = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A local copy of the one artifact.", dir_okay=False, exists=True)
    ] = None,
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature", help="Of --file.", dir_okay=False, exists=True, show_default="FILE.sig, else fetched"
        ),
    ] = None,
    key: KeyFile = None,
    files: Files = None,
    lock: LockFile = LOCK,
    as_json: AsJson = False,
) -> None:
    """Compare artifacts with the lock: the digest, and the detached signature with the publisher's key.

    The key's fingerprint is pinned in the code; --key only says where the key itself is. Without --file each
    is fetched, which is a gibibyte and more a release. Exit code 0: all are what is pinned; 1: the first that
    is not, or could not be had.
    """
    from components.images.artifacts import INSTALLER
    from components.images.lock import load
    from components.images.verifying import keys_for, verify_installer
    from components.images.verifying import verify as check

    releases = inputs.releases(load(lock), os, version, arch, schematic)
    if file and (len(releases) != 1 or len(artifact or ()) != 1 or artifact == [INSTALLER]):
        raise typer.BadParameter("name the one artifact, and one --arch, that it is", param_hint="--file")
    beside = file.with_name(f"{file.name}.sig") if file else None
    at = signature or (beside if beside and beside.is_file() else None)
    signed = inputs.file(at).data if at else None
    given = inputs.file(key) if key else None
    verified = []
    for named, group in groupby(releases, lambda r: (r.os, r.version)):
        source = inputs.source(named[0], files)
        keys = keys_for(*named, source, given)
        for release in group:
            for name in artifact or [*sorted(release.artifacts), *([INSTALLER] if release.installer else [])]:
                if name == INSTALLER:
                    verified.append(verify_installer(release, source))
                else:
                    verified.append(check(release, name, source, keys, file=file, signature=signed))
    if as_json:
        typer.echo(json.dumps([asdict(v) for v in verified], indent=2))
        return
    rows = [(v.release, v.artifact, v.sha256[:SHOWN_DIGITS], (v.signed_by or "nobody signs")[-16:]) for v in verified]
    typer.echo(table(("release", "artifact", "sha256", "signed by"), rows) + f"{len(rows)} as pinned")


@app.command("list", epilog="Example: ingot image list --metadata stable.json")
def list_(
    os: Annotated[str | None, typer.Argument(help="Only this OS.", metavar="OS", show_default="all")] = None,
    metadata: Metadata = None,
    lock: LockFile = LOCK,
    as_json: AsJson = False,
) -> None:
    """Show what is pinned, and with --metadata what the publisher has that is newer."""
    from components.images.lock import load
    from components.images.newer import newer

    pinned = load(lock)
    releases = [r for r in pinned.releases() if os in (None, r.os)]
    found = newer(pinned, inputs.offers(metadata))
    if as_json:
        document = {
            "releases": [{**r.model_dump(mode="json", exclude_none=True)} for r in releases],
            "kubernetes": pinned.model_dump(mode="json", exclude_none=True)["kubernetes"],
            "newer": [asdict(n) for n in found],
        }
        typer.echo(json.dumps(document, indent=2, sort_keys=True))
        return
    rows = [
        (
            r.os,
            r.version,
            r.architecture,
            (r.schematic or "")[:SHOWN_DIGITS],
            ", ".join(sorted(r.artifacts)) + (", installer" if r.installer else ""),
            str(len(r.amis)),
            (r.signing_key or "")[-16:],
        )
        for r in releases
    ]
    for version_, architectures in sorted(pinned.kubernetes.items() if os in (None, "kubernetes") else ()):
        for architecture, facts in sorted(architectures.items()):
            names = ", ".join(sorted(type(facts).model_fields))
            rows.append(("kubernetes", version_, architecture, "", names, "0", ""))
    typer.echo(table(("os", "version", "arch", "schematic", "artifacts", "AMIs", "signing key"), rows), nl=False)
    for n in found:
        typer.echo(f"newer: {n.os} {n.version} ({n.channel}); newest pinned of it: {n.pinned or 'none'}")
    if metadata and not found:
        typer.echo("nothing newer")


@app.command(epilog="Example: ingot image diff 44.20260621.3.1 44.20260707.3.1 --arch x86_64")
def diff(
    old: Annotated[str, typer.Argument(help="A pinned version, a lock file, or a git revision.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="The same.", metavar="NEW")],
    os: Annotated[str | None, typer.Option("--os", help="Where both versions are of several.")] = None,
    arch: Arch = None,
    lock: LockFile = LOCK,
    as_json: AsJson = False,
) -> None:
    """Show what a bump changes: artifacts, digests, AMIs, regions gained and lost.

    OLD and NEW are two versions in the lock (of Talos: VERSION or VERSION+SCHEMATIC), or two states of the
    whole lock. A word is a version if it is pinned, else a file if there is one, else a git revision.
    """
    from components.images.difference import between_locks, between_releases
    from components.images.lock import load

    pinned = load(lock)
    before, after = inputs.named(pinned, old, os), inputs.named(pinned, new, os)
    if before and after:
        changes: tuple[Change, ...] = ()
        for was, is_ in inputs.pairs(before, after, arch):
            changes += between_releases(was, is_)
    elif before or after:
        raise typer.BadParameter("expected two versions or two states of the lock, found one of each")
    else:
        changes = between_locks(inputs.state(old, lock), inputs.state(new, lock))
    if as_json:
        typer.echo(json.dumps([{**asdict(c), "kind": c.kind} for c in changes], indent=2))
        return
    for name in dict.fromkeys(c.release for c in changes):
        rows = [(c.what, _short(c.before), _short(c.after)) for c in changes if c.release == name]
        typer.echo(f"{name}\n{table(('what', 'before', 'after'), rows)}")
    typer.echo(f"{len(changes)} changes" if changes else "no changes")


def _short(value: str | None) -> str:
    """For a table: a digest by its beginning, all else whole, so that another host of a URL is seen."""
    return re.sub(r"\b[0-9a-f]{64}\b", lambda found: found[0][:SHOWN_DIGITS], value or "")
