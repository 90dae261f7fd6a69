"""`ingot boot-config`: what a node boots, as it will get it, and what the systems' own validators say of it.

It changes nothing and needs nothing but the checkout.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.stack_name import stack_name

if TYPE_CHECKING:
    from components.boot.ignition import File, Unit
    from components.boot.pin import NodeBoot

SEPARATOR: Final = "---\n"
"""Between the documents of a Talos configuration."""

app = typer.Typer(add_completion=False)


@app.command("boot-config", epilog="Example: ingot boot-config metal w1 --check")
def boot_config(
    stack: Annotated[
        str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
    ],
    node: Annotated[str, typer.Argument(help="A node of it. Without one: their names.", metavar="NODE")] = "",
    published: Annotated[
        bool, typer.Option("--published", help="What the boot store publishes to install it, instead.")
    ] = False,
    files: Annotated[
        bool, typer.Option("--files", help="For reading: each file and unit with its contents written out.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Have the system's own validator judge it; without NODE, all nodes.")
    ] = False,
) -> None:
    """Print the configuration that NODE's first boot reads, as it will get it. Without NODE, list the nodes.

    A secret that a machine needs reaches it at its one-time location when it joins. Talos' whole configuration does;
    its secrets are masked here, valid in form. --check asks the system's own validator, if it was built on this
    machine; it ends with exit code 1 if that refuses anything. Without NODE it judges all of them.
    """
    from cli.step_ports import boot_of, boots, environment
    from lifecycle.adapters.pins import project_root

    root = project_root(Path.cwd())
    if not node:
        if check:
            _judge(boots(root, stack), err=False)
            return
        for _, name, _ in environment(root, stack).hosts():
            typer.echo(name)
        return
    found, write = boot_of(root, stack, node), _written_out if files else _readable
    if published:
        for path, data in sorted(found.boot.publication(found.own, found.generation).files.items()):
            typer.echo(f"# {path}\n{write(data)}")
    else:
        typer.echo(write(_configuration(found)))
    if check:
        _judge([found], err=True)


def _judge(boots: Sequence[NodeBoot], *, err: bool) -> None:
    """Say what the validators say. err: on stderr, since a configuration has stdout."""
    from cli.boot_check import built, judged

    said = judged(boots, built())
    for one in said:
        typer.echo(str(one), err=err)
    if any(one.refusals for one in said):
        raise typer.Exit(1)


def _configuration(found: NodeBoot) -> bytes:
    from cli.boot_check import HOW_TO_GET, OF_TALOS, built, whole

    made = whole(found, built())
    if made is not None:
        typer.echo("Secrets are masked: each has its form, and opens nothing.", err=True)
        return made
    if found.boot.asked.release.os == OF_TALOS:
        typer.echo(
            f"What Talos adds (certificates, tokens, its defaults) is made by its own packages. {HOW_TO_GET}", err=True
        )
    return found.boot.configuration(found.own, found.generation)


def _readable(data: bytes) -> str:
    """JSON, also a stream of documents of it, with a field a line, and any other text as it is."""
    text = data.decode()
    try:
        documents = [json.loads(part) for part in text.split(SEPARATOR)]
        return f"\n{SEPARATOR}".join(json.dumps(document, indent=2, sort_keys=True) for document in documents)
    except ValueError:
        return text.rstrip("\n")


def _written_out(data: bytes) -> str:
    """An Ignition configuration as text for people: what is inline is shown, what is fetched is named with its hash.
    Any other configuration as it is."""
    from components.boot.ignition import IgnitionError, parse

    try:
        found = parse(data)
    except IgnitionError:
        return _readable(data)
    parts = [_file(file) for file in found.storage.files]
    parts += [f"== {link.path} -> {link.target}" for link in found.storage.links]
    parts += [f"== {place.path}/" for place in found.storage.directories]
    parts += [f"== {f.path} on {f.device}, {f.format}, formatted if it is blank" for f in found.storage.filesystems]
    parts += [_unit(unit) for unit in found.systemd.units]
    parts += [f"== login {user.name}: {len(user.ssh_authorized_keys)} public keys" for user in found.passwd.users]
    parts += [f"== kernel argument {argument}" for argument in found.kernel_arguments.should_exist]
    return "\n".join(parts)


def _file(file: File) -> str:
    from components.boot.ignition import inlined

    head = f"== {file.path} {file.mode or 0:04o}"
    contents = inlined(file.contents)
    if contents is not None:
        return f"{head}\n{contents.decode(errors='replace')}"
    resource = file.contents
    hashed = resource.verification.hash if resource and resource.verification else "no hash"
    return f"{head} from {resource.source if resource else 'nowhere'} ({hashed})"


def _unit(unit: Unit) -> str:
    state = "masked" if unit.mask else "enabled" if unit.enabled else "as the image has it"
    texts = [unit.contents or "", *(f"-- {d.name}\n{d.contents or ''}" for d in unit.dropins)]
    return "\n".join([f"== {unit.name}, {state}", *filter(None, texts)])
