"""An EPICS input-output controller with a film: it counts how often its field was set, and answers with a parabola."""

import sys

from caproto.server import PVGroup, pvproperty, run


class Film(PVGroup):
    """A field with limits, and an answer that follows."""

    field = pvproperty(value=0.0, units="V", lower_ctrl_limit=-2.0, upper_ctrl_limit=2.0)
    answer = pvproperty(value=0.0, read_only=True)
    n_sets = pvproperty(value=0, read_only=True)

    @field.putter
    async def field(self, instance, value):
        await self.n_sets.write(self.n_sets.value + 1)
        await self.answer.write(-((value - 0.3) ** 2))
        return value


if __name__ == "__main__":
    run(Film(prefix=sys.argv[1]).pvdb, interfaces=["127.0.0.1"], log_pv_names=True)
