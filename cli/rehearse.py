"""`ingot rehearse`: bring a stack up on the simulated rack, roll it, write the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.pools import Prices, pools
from cli.stack_name import stack_name

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: ingot rehearse metal --seed 7 --fault volume-stuck:w3")
def rehearse(
    stack: Annotated[
        str, typer.Argument(help="A stack: stacks/Pulumi.<STACK>.yaml.", metavar="STACK", callback=stack_name)
    ],
    image_from: Annotated[
        str | None, typer.Option("--from", help="The release to start from. Default: the stack file's.")
    ] = None,
    image_to: Annotated[
        str | None, typer.Option("--to", help="The release to roll to. Default: the next one pinned.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that chance decides on the rack.")] = 1,
    fault: Annotated[
        list[str] | None, typer.Option("--fault", help="A cause that lasts for the roll; repeatable.")
    ] = None,
    price: Prices = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report. Default: .ingot/reports.")] = None,
) -> None:
    """Bring STACK up on the simulated rack, roll it to the next image, and write the report.

    The engine, its state and its plan are real; machines, cluster and time are simulated. Ends with
    exit code 1 if the roll halted or a law was broken; the report is written all the same.
    """
    from cli.engine_path import use_decided_engine
    from components import stackfile
    from rehearsal import show
    from rehearsal.evidence import write
    from rehearsal.rack.store import usable
    from rehearsal.rehearse import choose_releases
    from rehearsal.rehearse import rehearse as run
    from rehearsal.session import ROOT, Options, home
    from report import html, markdown

    out = out or home() / "reports"
    with usable(out):
        out.mkdir(parents=True, exist_ok=True)
    declared = pools(stackfile.load(ROOT / "stacks" / f"Pulumi.{stack}.yaml"), price or ())
    use_decided_engine()
    start, end = choose_releases(stack, image_from, image_to)
    display = show.Display()
    options = Options(seed=seed, faults=tuple(fault or ()), what="ingot rehearse", on_event=display.event)
    with display:
        found = run(
            stack,
            image_from=start,
            image_to=end,
            options=options,
            folder=home() / "rehearsal" / stack,
            on_rack=lambda rack, phase: display.follow(rack, f"{phase} {stack}"),
        )
    page, text, lines = (out / f"{stack}.{kind}" for kind in ("html", "md", "jsonl"))
    roll = found.roll.model_copy(update={"pools": declared})
    page.write_text(html.render(roll), encoding="utf-8")
    text.write_text(markdown.render(roll), encoding="utf-8")
    write(found.entries, lines)
    typer.echo(show.verdict(found))
    typer.echo(f"report: {page}\n        {text}\n        {lines}")
    if not found.roll.succeeded or found.idle_faults or any(law.broken for law in found.roll.laws):
        raise typer.Exit(1)
