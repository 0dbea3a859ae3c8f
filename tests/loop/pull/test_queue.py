"""A trial is offered, claimed, started and finished once, whoever is killed or late."""

import subprocess
import sys
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from latentloop.loop.errors import StoreError
from latentloop.loop.pull.queue import OFFER_SECONDS, PullQueue, PullRefusedError
from latentloop.loop.pull.slots import fill_slot, read_slot


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    return PullQueue(tmp_path / "pull", clock)


def document(trial, key=None):
    return {"trial": trial, "key": key or f"campaign-{trial}-abc", "trajectory": [0.0, 0.5, 0.0]}


METRICS = {"metrics": {"objective": 1.5}}


class refused:  # noqa: N801 - reads as a sentence
    """The block is refused, and for that reason."""

    def __init__(self, code):
        self.code = code

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert kind is PullRefusedError, f"{kind} instead of a refusal"
        assert error.code == self.code
        return True


def test_the_way_of_a_trial(queue):
    assert queue.claim("bench") is None
    queue.offer(document(17), 60.0)
    assert queue.look("campaign-17-abc").state == "offered"
    claim = queue.claim("bench 3")
    assert claim.document == document(17)
    assert claim.expires_seconds == 60.0
    assert queue.claim("bench 4") is None
    assert queue.look("campaign-17-abc").state == "claimed"
    assert queue.start(claim.token)["state"] == "started"
    assert queue.look("campaign-17-abc").instrument == "bench 3"
    answer = queue.finish(claim.token, METRICS)
    assert answer == {"state": "finished", "trial": 17, "key": "campaign-17-abc"}
    assert queue.look("campaign-17-abc").result == METRICS


def test_trials_are_handed_out_in_their_order(queue):
    for trial in (12, 3, 100):
        queue.offer(document(trial), 60.0)
    assert [queue.claim("bench").document["trial"] for _ in range(3)] == [3, 12, 100]


def test_a_claim_that_expires_before_its_start_returns_to_the_queue(queue, clock):
    queue.offer(document(1), 10.0)
    first = queue.claim("bench 1")
    clock.now += 10.5
    with refused("conflict"):
        queue.start(first.token)
    with refused("conflict"):
        queue.heartbeat(first.token)
    second = queue.claim("bench 2")
    assert second.document == first.document
    with refused("conflict"):
        queue.start(first.token)
    queue.start(second.token)
    with refused("conflict"):
        queue.finish(first.token, METRICS)
    queue.finish(second.token, METRICS)


def test_heartbeats_renew_a_claim(queue, clock):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    for _ in range(5):
        clock.now += 8.0
        queue.keep("campaign-1-abc")
        assert queue.heartbeat(claim.token) == {"state": "claimed", "stop": False, "expires_seconds": 10.0}
    queue.start(claim.token)
    queue.ask_to_stop("campaign-1-abc")
    assert queue.heartbeat(claim.token)["stop"]


def test_a_trial_that_has_started_is_never_handed_out_again(queue, clock):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench 1")
    queue.start(claim.token)
    clock.now += 1e6
    queue.offer(document(1), 10.0)  # as a resumed campaign does
    assert queue.claim("bench 2") is None
    assert queue.look("campaign-1-abc").state == "started"
    assert not queue.withdraw("campaign-1-abc")
    assert queue.finish(claim.token, METRICS)["trial"] == 1


def test_an_identical_repeat_gets_the_first_answer_and_another_result_is_refused(queue):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    queue.start(claim.token)
    assert queue.start(claim.token)["state"] == "started"
    first = queue.finish(claim.token, METRICS)
    assert queue.finish(claim.token, dict(reversed(METRICS.items()))) == first
    with refused("conflict"):
        queue.finish(claim.token, {"metrics": {"objective": 1.6}})
    assert queue.look("campaign-1-abc").result == METRICS


def test_a_result_before_the_start_is_refused(queue):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    with refused("conflict"):
        queue.finish(claim.token, METRICS)
    assert queue.look("campaign-1-abc").state == "claimed"


@pytest.mark.parametrize(
    "token", ["", "x", "../../etc/passwd.0.0123", "a.0." + "g" * 32, "../x.0." + "0" * 32, "campaign-1-abc.0." + "0" * 31]
)
def test_what_is_no_token_is_refused(queue, token):
    queue.offer(document(1), 10.0)
    with refused("invalid"):
        queue.start(token)


def test_a_token_of_nobody_is_refused(queue):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    for token in (claim.token[:-32] + "0" * 32, "campaign-2-abc.0." + "0" * 32, claim.token.replace(".0.", ".1.")):
        with refused("forbidden"):
            queue.start(token)
    with pytest.raises(ValueError, match="cannot name a folder"):
        queue.offer(document(1, "../escape"), 10.0)


def test_the_disk_does_not_hold_a_token_that_works(queue):
    queue.offer(document(1), 10.0)
    secret = queue.claim("bench").token.rpartition(".")[2]
    assert not any(secret.encode() in path.read_bytes() for path in queue.folder.rglob("*") if path.is_file())


def test_a_withdrawn_trial_is_not_fired(queue):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    assert queue.withdraw("campaign-1-abc")
    assert queue.withdraw("campaign-1-abc")
    for ask in (queue.start, queue.heartbeat):
        with refused("conflict"):
            ask(claim.token)
    assert queue.look("campaign-1-abc").state == "withdrawn"
    assert queue.claim("bench") is None


def test_nothing_starts_for_a_campaign_that_does_not_run(queue, clock):
    queue.offer(document(1), 100.0)
    claim = queue.claim("bench")
    clock.now += OFFER_SECONDS + 1
    with refused("conflict"):
        queue.start(claim.token)
    queue.offer(document(2), 100.0)
    clock.now += OFFER_SECONDS + 1
    assert queue.claim("bench") is None
    queue.offer(document(1), 100.0)
    assert queue.start(claim.token)["state"] == "started"


def test_a_result_that_nobody_waits_for_is_marked_until_it_is_taken(queue, clock):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    queue.start(claim.token)
    assert queue.leave("campaign-1-abc")
    assert list(queue.late()) == []
    queue.finish(claim.token, METRICS)
    assert list(queue.late()) == [(document(1), METRICS)]
    queue.take(document(1))
    assert list(queue.late()) == []
    queue.finish(claim.token, METRICS)  # the answer was lost
    assert list(queue.late()) == []


def test_a_result_that_came_just_before_is_not_given_up(queue):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    queue.start(claim.token)
    queue.finish(claim.token, METRICS)
    assert not queue.leave("campaign-1-abc")


def test_a_server_killed_between_the_result_and_its_mark_loses_nothing(queue, clock):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    queue.start(claim.token)
    queue.leave("campaign-1-abc")
    queue.finish(claim.token, METRICS)
    (mark,) = (queue.folder / "late").iterdir()
    mark.unlink()
    queue.finish(claim.token, METRICS)  # the instrument had no answer, and asks again
    assert len(list(queue.late())) == 1


def test_a_damaged_slot_is_an_error(queue):
    queue.offer(document(1), 10.0)
    claim = queue.claim("bench")
    queue.start(claim.token)
    queue.finish(claim.token, METRICS)
    path = queue.folder / "trials" / "campaign-1-abc" / "result"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="is damaged"):
        queue.look("campaign-1-abc")
    path.write_bytes(raw[:-5])
    with pytest.raises(StoreError, match="is damaged"):
        queue.look("campaign-1-abc")


def test_of_many_that_fill_a_slot_one_succeeds(tmp_path):
    won = []
    barrier = threading.Barrier(8)

    def fill(index):
        barrier.wait()
        if fill_slot(tmp_path / "slot", {"who": index}):
            won.append(index)

    threads = [threading.Thread(target=fill, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_slot(tmp_path / "slot") == {"who": won[0]}
    assert len(won) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["slot"]


RACER = """
import sys
from pathlib import Path
from latentloop.loop.pull.queue import PullQueue, PullRefusedError
queue = PullQueue(Path(sys.argv[1]))
sys.stdin.readline()
fired = []
while (claim := queue.claim(sys.argv[2])) is not None:
    try:
        queue.start(claim.token)
    except PullRefusedError:
        continue
    fired.append(claim.document["trial"])
    queue.finish(claim.token, {"metrics": {"objective": 1.0}})
print(*fired)
"""


def test_processes_that_race_for_trials_fire_each_once(tmp_path):
    queue = PullQueue(tmp_path / "pull")
    for trial in range(40):
        queue.offer(document(trial), 60.0)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(queue.folder), f"racer {index}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for index in range(3)
    ]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    fired = [int(word) for racer in racers for word in racer.communicate(timeout=60)[0].split()]
    assert sorted(fired) == list(range(40))


class QueueMachine(RuleBasedStateMachine):
    """Instruments and a campaign do what they like, at any time: no trial starts twice, and what finished stays."""

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.clock = Clock()
        self.folder = tempfile.TemporaryDirectory()
        self.queue = PullQueue(Path(self.folder.name) / "pull", self.clock)
        self.tokens = []
        self.started = {}
        self.withdrawn = set()
        self.results = {}
        self.n = 0

    def teardown(self):
        self.folder.cleanup()

    def key(self, trial):
        return f"campaign-{trial}-abc"

    @rule()
    def offer(self):
        self.queue.offer(document(self.n), 10.0)
        self.n += 1

    @precondition(lambda self: self.n)
    @rule(data=st.data())
    def offer_again(self, data):
        self.queue.offer(document(data.draw(st.integers(0, self.n - 1))), 10.0)

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0, 20.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def claim(self):
        claim = self.queue.claim("bench")
        if claim is not None:
            trial = claim.document["trial"]
            assert trial not in self.started
            assert trial not in self.withdrawn
            self.tokens.append((claim.token, trial))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def start(self, data):
        token, trial = data.draw(st.sampled_from(self.tokens))
        try:
            self.queue.start(token)
        except PullRefusedError:
            return
        assert self.started.setdefault(trial, token) == token
        assert trial not in self.withdrawn

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), value=st.integers(0, 1))
    def finish(self, data, value):
        token, trial = data.draw(st.sampled_from(self.tokens))
        result = {"metrics": {"objective": float(value)}}
        try:
            self.queue.finish(token, result)
        except PullRefusedError:
            assert self.started.get(trial) != token or self.results[trial] != result
            return
        assert self.started[trial] == token
        assert self.results.setdefault(trial, result) == result

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def beat(self, data):
        token, trial = data.draw(st.sampled_from(self.tokens))
        try:
            self.queue.heartbeat(token)
        except PullRefusedError:
            assert self.started.get(trial) != token

    @precondition(lambda self: self.n)
    @rule(data=st.data())
    def withdraw(self, data):
        trial = data.draw(st.integers(0, self.n - 1))
        if self.queue.withdraw(self.key(trial)):
            assert trial not in self.started
            self.withdrawn.add(trial)
        else:
            assert trial in self.started

    @invariant()
    def everyone_sees_the_same(self):
        again = PullQueue(self.queue.folder, self.clock)  # another process
        for trial in range(self.n):
            state = again.look(self.key(trial)).state
            assert (state in ("started", "finished")) == (trial in self.started)
            assert (state == "finished") == (trial in self.results)
            assert (state == "withdrawn") == (trial in self.withdrawn)


QueueMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestQueueMachine = QueueMachine.TestCase
