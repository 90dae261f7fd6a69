"""`ingot boot-config`: what a node boots, as it will get it; changes nothing and needs nothing but the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.stack_name import stack_name

if TYPE_CHECKING:
    from components.boot.ignition import File, Unit

app = typer.Typer(add_completion=False)


@app.command("boot-config", epilog="Example: ingot boot-config metal w1 --files")
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
) -> None:
    """Print the configuration that NODE's first boot reads, as it will get it. Without NODE, list the nodes.

    It holds no secret: what a machine needs of those reaches it at its one-time location when it joins.
    """
    from cli.step_ports import boot_of, environment
    from lifecycle.adapters.pins import project_root

    root = project_root(Path.cwd())
    if not node:
        for _, name, _ in environment(root, stack).hosts():
            typer.echo(name)
        return
    found, write = boot_of(root, stack, node), _written_out if files else _readable
    if published:
        for path, data in sorted(found.boot.publication(found.own, found.generation).files.items()):
            typer.echo(f"# {path}\n{write(data)}")
        return
    typer.echo(write(found.boot.configuration(found.own, found.generation)))


def _readable(data: bytes) -> str:
    """JSON with a field a line, and any other text as it is."""
    text = data.decode()
    try:
        return json.dumps(json.loads(text), indent=2, sort_keys=True)
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
