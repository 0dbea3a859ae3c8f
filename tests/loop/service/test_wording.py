"""Answers name neither the server's folders nor what is typed at its terminal."""

import httpx
import pytest
from latentloop.loop.errors import JournalError
from latentloop.loop.service.wording import for_others, without_paths
from latentloop.loop.store.campaign_store import CampaignStore
from latentloop.loop.store.objects import open_objects


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("/srv/lab/first: trial 3 is armed, not held", "first: trial 3 is armed, not held"),
        ("cannot leave a command in '/srv/lab/first/journal/inbox': disk full", "cannot leave a command in 'inbox': disk full"),
        ("a veto needs a reason: --reason 'the film would break'", "a veto needs a reason"),
        ("trial 3: approved; `latentloop resume /srv/lab/first` measures it", "trial 3: approved"),
        ("there are 6 trials; --at-trial must be between 1 and 6", "there are 6 trials; at_trial must be between 1 and 6"),
        ("there is no campaign 'x'; GET /api/v1/campaigns lists them", "there is no campaign 'x'; GET /api/v1/campaigns lists them"),
        ("journal/00000003.json is damaged", "journal/00000003.json is damaged"),
        ("http://127.0.0.1:8000/a/b and s3://bucket/a/b", "http://127.0.0.1:8000/a/b and s3://bucket/a/b"),
        ("3 kV/cm at 1/2 of the width, and/or -1--1", "3 kV/cm at 1/2 of the width, and/or -1--1"),
        ("in /srv/lab/", "in a folder"),
        (
            "/srv/lab/a holds a campaign already; continue it with `latentloop resume /srv/lab/a`, or choose another path",
            "a holds a campaign already; choose another path",
        ),
        (
            "trials/time in /srv/a is damaged; copy it back from a backup",
            "trials/time in a is damaged; whoever runs this server can copy it back from a backup",
        ),
        ("holds it until it is approved (`latentloop trials STORE --approve N`); else not", "holds it until it is approved; else not"),
    ],
)
def test_sentences_lose_paths_commands_and_options(said, heard):
    assert for_others(said) == heard


def test_what_is_said_of_a_damaged_journal_is_a_whole_sentence_for_others_too(make_campaign, tmp_path):
    make_campaign(tmp_path / "lab" / "first")
    (tmp_path / "lab" / "first" / "journal" / "00000004.json").write_text("{}")
    with pytest.raises(JournalError) as caught:
        list(CampaignStore(open_objects(tmp_path / "lab" / "first")).journal.read(0))
    heard = for_others(str(caught.value))
    assert heard.startswith("00000004.json ")
    assert heard.endswith("; whoever runs this server can copy it back from a backup, or give up what follows")


def test_settings_lose_the_folders_of_paths_at_any_depth_and_nothing_else():
    settings = {"file": "/srv/lab/x.npy", "n": 3, "deep": [{"command": ["/usr/bin/measure", "-v"]}], "z": [1.0, 2.0], "unit": "kV/cm"}
    assert without_paths(settings) == {"file": "x.npy", "n": 3, "deep": [{"command": ["measure", "-v"]}], "z": [1.0, 2.0], "unit": "kV/cm"}


def test_no_answer_names_the_folder_of_the_server(new_server, make_campaign, tmp_path):
    server, name = new_server(), str(tmp_path)
    make_campaign(server.root / "first")
    make_campaign(server.root / "second")
    with httpx.Client(base_url=server.url, headers=server.headers(), timeout=60) as http:
        document = http.get("/api/v1/openapi.json").json()
        bodies = [{}, {"reason": ""}, {"text": "x"}, {"z": [0.0, 0.0]}, {"outcome": "failed"}, {"name": "second", "at_trial": 1}]
        n = 0
        for path, operations in document["paths"].items():
            if path.endswith(("/stream", "/logout", "store.zip")):
                continue
            for method in operations:
                address = path.format(campaign="first", number=0, name="latent_space", path="x")
                for body in bodies if method == "post" else [None]:
                    answer = http.request(method, address, json=body)
                    assert name not in answer.text, (method, address, answer.text[:2000])
                    assert "`latentloop " not in answer.text or address.endswith("report.html"), (method, address)
                    n += 1
        assert n > 100
        failed = http.post("/api/v1/campaigns/second/trials/0/accept", json={})
        assert failed.json()["error"]["message"] == "second: trial 0 is completed, not quarantined"
