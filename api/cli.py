"""The command line: every command, and one way to say what went wrong."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.exceptions import Abort, TyperException

from api.commands import (
    account,
    as_of,
    audit,
    backtest,
    bot,
    delivery,
    demo,
    events,
    explain,
    fill,
    group,
    kill,
    login,
    lookahead,
    market,
    market_download,
    market_prices,
    monte_carlo,
    offset,
    order,
    pnl,
    pool,
    projections,
    queue,
    recursive,
    report,
    risk,
    run,
    strategy,
    strategy_paper,
    sweep,
    system,
    up,
    user,
    verify,
    walk_forward,
    webhook,
    webhook_template,
    what_if,
)
from api.terminal import EXIT_CLEAN, EXIT_INTERRUPTED, EXIT_UNABLE, fail

app = typer.Typer(
    name="truetape",
    help="An event-sourced trading engine: backtest, paper, live and audit are one loop over one log.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("login")(login.login)
app.command("logout")(login.logout)
app.add_typer(user.app, name="user")
app.add_typer(account.app, name="account")
app.add_typer(bot.app, name="bot")
webhook.app.command("template")(webhook_template.template)
app.add_typer(webhook.app, name="webhook")
app.add_typer(delivery.app, name="delivery")
app.add_typer(order.app, name="order")
app.add_typer(fill.app, name="fill")
app.add_typer(group.app, name="group")
for tell in (
    strategy_paper.start,
    strategy_paper.configure,
    strategy_paper.pause,
    strategy_paper.resume,
    strategy_paper.close,
):
    strategy.app.command()(tell)
app.add_typer(strategy.app, name="strategy")
app.command("pnl")(pnl.pnl)
app.add_typer(pool.app, name="pool")
app.add_typer(queue.app, name="queue")
app.add_typer(offset.app, name="offset")
app.add_typer(risk.app, name="risk")
app.command("kill")(kill.kill)
app.command("resume")(kill.resume)
app.command("as-of")(as_of.as_of)
app.add_typer(explain.app, name="explain")
app.add_typer(events.app, name="events")
market.app.command("download")(market_download.download)
market.app.command("prices")(market_prices.prices)
app.add_typer(market.app, name="market")
app.command("backtest")(backtest.backtest)
app.command("sweep")(sweep.sweep)
app.command("walk-forward")(walk_forward.walk_forward)
app.command("lookahead")(lookahead.lookahead)
app.command("recursive")(recursive.recursive)
app.command("monte-carlo")(monte_carlo.monte_carlo)
app.add_typer(run.app, name="run")
app.command("verify")(verify.verify)
app.command("what-if")(what_if.what_if)
app.add_typer(audit.app, name="audit")
app.command("report")(report.report)
app.add_typer(projections.app, name="projections")
app.command("migrate")(system.migrate)
app.command("doctor")(system.doctor)
app.command("demo")(demo.demo)


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. Bad usage is said in a line, no usage at all is answered with the page."""
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="truetape", standalone_mode=False)
    except TyperException as error:
        return fail(_usage(error))
    except Abort:
        return EXIT_INTERRUPTED
    except SystemExit:
        # Typer's way out where the reader of a page of help has gone.
        return EXIT_CLEAN
    if not arguments:
        return EXIT_UNABLE
    return code if isinstance(code, int) else 0


def _usage(error: TyperException) -> str:
    """What is wrong with the command as it was typed, what is allowed, and whose help says more."""
    context: Any = getattr(error, "ctx", None)
    said, path = [error.format_message().strip()], "truetape"
    if not said[0].endswith((".", "?")):
        said[0] += "."
    if context is not None:
        path = context.command_path
        if list_commands := getattr(context.command, "list_commands", None):
            said.append(f"Allowed: {', '.join(list_commands(context))}.")
    return " ".join([*said, f"See {path} --help."])
