"""A campaign whose journal cannot be read to its end: what the log hears of it, and how often."""

import asyncio
import logging

from latentloop.loop.service.catalogue import Catalogue
from latentloop.loop.service.launcher import LocalLauncher
from latentloop.loop.service.settings import ServerSettings


def test_the_log_hears_of_damage_once_for_each_change(make_campaign, tmp_path, caplog):
    make_campaign(tmp_path / "bad")
    journal = tmp_path / "bad" / "journal"
    whole = {number: (journal / f"{number:08d}.json").read_bytes() for number in (3, 5)}
    catalogue = Catalogue(tmp_path, ServerSettings(), LocalLauncher(tmp_path))

    def heard():
        said = [record.getMessage() for record in caplog.records if record.name == "latentloop.service"]
        caplog.clear()
        return said

    async def look(times):
        for _ in range(times):
            watch = catalogue.watched()["bad"]
            watch.next_try = 0.0
            await watch.ready()
            await catalogue.look_again(watch)
        return catalogue.watched()["bad"]

    async def looks():
        (journal / "00000005.json").write_text("{}")
        assert "00000005.json" in (await look(4)).problem
        (first,) = heard()
        assert "cannot be read further" in first
        assert "00000005.json" in first
        (journal / "00000003.json").write_text("{}")
        assert "00000003.json" in (await look(4)).problem
        (second,) = heard()
        assert "00000003.json" in second
        for number, event in whole.items():
            (journal / f"{number:08d}.json").write_bytes(event)
        assert (await look(4)).state() == "finished"
        assert heard() == ["campaign bad can be read again"]
        catalogue.close()

    with caplog.at_level(logging.INFO, "latentloop.service"):
        asyncio.run(looks())
