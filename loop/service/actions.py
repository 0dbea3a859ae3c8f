"""Has an operator's command obeyed.

While a campaign is driven, a command is checked against the history that the server holds, and left in the inbox: that takes
milliseconds whatever the campaign's size. Everything else (no driver; a point or a trajectory to be checked against the model) is what the
command line does as well, and runs in the studio, because it may need the latent model.
"""

import time
from dataclasses import replace
from pathlib import Path

from ..clerk import objection
from ..errors import ConfigError
from ..messages import Said
from ..operator import act
from ..store.history import History
from ..store.inbox import Command
from .desk import Desk
from .problems import refuse
from .wording import for_others

_PLAIN = ("pause", "resume", "stop", "note", "veto", "accept", "resolve")
"""Actions that the history alone can judge."""
_THEN = {"approve": "; resume the campaign to measure it", "propose": "; resume the campaign to take it up"}
"""What is left to do where nobody drives the campaign."""
_PATIENCE = 300.0
"""Seconds for what reads the whole journal first: ten of a processor for 100,000 trials, more of a clock where others compute too."""


async def carry_out(desk: Desk, campaign: str, command: Command) -> Said:
    """Have a command obeyed; return what became of it.

    Raises:
        HTTPException: there is no such campaign or trial, or the trial is not in the state for this.
        ConfigError: the command lacks something, or its point or trajectory does not fit.
    """
    if command.trial is None and command.action in _PLAIN and await desk.catalogue.is_starting(campaign):
        reason = objection(History(), command)
        if reason:
            raise refuse(422, reason)
        name = desk.catalogue.keep_wish(campaign, replace(command, time=time.time()))
        return Said(message=f"the campaign: {command.action} is kept until it has started", command="")
    watch = await desk.catalogue.ready(campaign)
    number, n_trials = command.trial, len(watch.history.trials)
    if number is not None and not 0 <= number < n_trials:
        raise refuse(404, f"campaign {campaign!r} has no trial {number}; it has {n_trials}, the first is 0")
    # Between sessions it is another operator's command, for an instant, that holds it: `act` waits its turn then.
    is_driven = watch.store.is_driven() and watch.history.last_session == "open"
    if command.action == "stop" and not is_driven:
        raise refuse(409, f"nobody drives campaign {campaign!r}: there is nothing to stop")
    if is_driven and command.action in _PLAIN:
        reason = objection(watch.history, command)
        if reason:
            raise refuse(422 if "needs" in reason or "say what" in reason else 409, reason)
        name = watch.store.inbox.drop(replace(command, time=time.time()))
        subject = "the campaign" if number is None else f"trial {number}"
        return Said(message=f"{subject}: {command.action} sent to the running campaign", command=name)
    done = await desk.studio.run(act_once, watch.path, command, patience=_PATIENCE)
    then = "" if is_driven else _THEN.get(command.action, "")
    return done.model_copy(update={"message": f"{for_others(done.message)}{then}"})


def act_once(path: Path, command: Command) -> Said:
    """Have one command obeyed; runs in the studio.

    Raises:
        ConfigError: the command is badly said, or was not obeyed.
    """
    answer = act(path, command)[0]
    if answer.is_obeyed is False:
        raise ConfigError(answer.sentence)
    return Said(message=answer.sentence, command=answer.command)
