"""An instrument on a socket is downloaded to, triggered once, read back, and believed only with an empty error queue."""

import socket
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from latentloop.loop.config import EvaluatorConfig
from latentloop.loop.errors import ConfigError, EvaluatorError, UnknownOutcomeError
from latentloop.loop.evaluators.contract import check_evaluator
from latentloop.loop.evaluators.scpi import ScpiEvaluator
from latentloop.loop.executors.worker import EvaluatorSpec
from latentloop.loop.records import Signal
from latentloop.loop.run import run_campaign

try:
    import pyvisa_py
except ImportError:
    pyvisa_py = None

needs_visa = pytest.mark.skipif(pyvisa_py is None, reason="PyVISA is not installed: pip install 'latentloop[lab]'")
WAVE = np.linspace(-1, 1, 11)
SIGNAL = Signal(np.arange(11.0) * 0.5, "V", "ms", ("E",))


class Instrument:
    """A generator and a digitizer behind one socket: integrates what it plays, complains as real ones do."""

    def __init__(self):
        self.waves, self.rate, self.fired, self.errors, self.log = {}, 0.0, [], [], []
        self.mood = ""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"TCPIP0::127.0.0.1::{self.server.getsockname()[1]}::SOCKET"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with suppress(OSError), connection, connection.makefile("rwb") as stream:  # who asked may be gone by the time of the answer
            while line := self.line(stream):
                answer = self.obey(line.strip())
                if answer is None:
                    continue
                if answer == b"hang up":
                    return
                if answer != b"silence":
                    stream.write(answer + b"\n")
                    stream.flush()

    @staticmethod
    def line(stream):
        """Read a command; a block in it may hold line ends."""
        found = b""
        while not found.endswith(b"\n"):
            byte = stream.read(1)
            if not byte:
                return b""
            found += byte
            if byte == b"#":
                digits = stream.read(1)
                length = stream.read(int(digits))
                found += digits + length + stream.read(int(length)) + stream.read(1)
                break
        return found

    def obey(self, line):
        head, _, rest = line.partition(b" ")
        word = head.decode(errors="replace")
        self.log.append(word)
        response = np.cumsum(self.fired[-1][1]) if self.fired else np.zeros(1)
        match word:
            case "*IDN?":
                return b"LATENTLOOP,SOCKET INSTRUMENT,1,0"
            case "*CLS":
                self.errors.clear()
            case "*OPC?":
                if self.mood == "never done" and self.fired:
                    return b"silence"
                if self.mood == "late" and self.fired:
                    self.mood = ""
                    time.sleep(0.5)
                return b"hang up" if self.mood == "hangs up" and self.fired else b"1"
            case "SYST:ERR?":
                return self.errors.pop(0).encode() if self.errors else b'0,"No error"'
            case "SOUR:FREQ:SRAT":
                self.rate = float(rest)
            case "DATA1" | "DATA2":
                values = np.array([float(item) for item in rest.split(b",")])
                if np.abs(values).max() > 5:
                    self.errors.append('-222,"Data out of range"')
                self.waves[int(word[-1])] = values
            case "BLOCK1":
                size = int(rest[1:2])
                self.waves[1] = np.frombuffer(rest[2 + size :], ">f4").astype(float)
            case "*TRG":
                self.fired.append(dict(self.waves))
                if self.mood == "overload":
                    self.errors.append('-315,"Overload"')
            case "FETC?":
                return b"garbage" if self.mood == "garbage" else ",".join(f"{value:.9g}" for value in response).encode()
            case "FETC:BLOC?":
                raw = response.astype(">f8").tobytes()
                size = str(len(raw)).encode()
                return b"#" + str(len(size)).encode() + size + raw
            case "MEAS:CHAR?":
                return b"%.9g" % response[-1]
            case "OUTP":
                self.rate = -1.0
            case _:
                self.errors.append('-113,"Undefined header"')
        return None

    def close(self):
        self.server.close()


PARAMETERS = {
    "setup": ["SOUR:FREQ:SRAT {rate}"],
    "download": ["DATA{channel} {values}"],
    "read": {"response": "FETC?"},
    "metrics": {"charge": "MEAS:CHAR?"},
    "reductions": {"objective": "mean response"},
    "rest": ["OUTP OFF"],
    "seconds_per_time_unit": 1e-3,
    "timeout": 2.0,
}


@pytest.fixture
def instrument():
    made = Instrument()
    yield made
    made.close()


@pytest.fixture
def scpi(instrument):
    made = []

    def make(**changes):
        evaluator = ScpiEvaluator(instrument.address, **{**PARAMETERS, **changes})
        evaluator.accept_signal(SIGNAL)
        evaluator.prepare()
        made.append(evaluator)
        return evaluator

    yield make
    for evaluator in made:
        evaluator.close()


@needs_visa
def test_a_waveform_is_played_once_and_read_back(scpi, instrument):
    found = scpi().measure(WAVE)
    ((played,),) = [list(waves.values()) for waves in instrument.fired]
    np.testing.assert_allclose(played, WAVE, rtol=1e-8)
    np.testing.assert_allclose(found.arrays["response"], np.cumsum(WAVE), atol=1e-7)
    assert found.metrics == pytest.approx({"charge": 0.0, "objective": np.cumsum(WAVE).mean()}, abs=1e-7)
    assert instrument.rate == pytest.approx(2000.0)
    before, after = instrument.log.index("*TRG"), len(instrument.log) - 1 - instrument.log[::-1].index("SYST:ERR?")
    assert "SYST:ERR?" in instrument.log[:before]
    assert instrument.log[before + 1] == "*OPC?"
    assert after > before


@needs_visa
def test_every_channel_is_downloaded(scpi, instrument):
    both = np.stack([WAVE, 2 * WAVE], axis=1)
    scpi().measure(both)
    np.testing.assert_allclose(instrument.fired[0][2], 2 * WAVE, rtol=1e-8)


@needs_visa
def test_blocks_go_both_ways_in_binary(scpi, instrument):
    evaluator = scpi(download=["BLOCK{channel} {block}"], read={"response": "FETC:BLOC?"}, read_format="real64")
    found = evaluator.measure(10 * WAVE)  # its bytes hold line ends and the mark of a block
    np.testing.assert_array_equal(instrument.fired[0][1], (10 * WAVE).astype(np.float32))
    np.testing.assert_array_equal(found.arrays["response"], np.cumsum((10 * WAVE).astype(np.float32).astype(float)))


@needs_visa
def test_full_scale_divides_and_bounds_before_anything_is_sent(scpi, instrument):
    evaluator = scpi(full_scale=2.0)
    evaluator.measure(WAVE)
    np.testing.assert_allclose(instrument.fired[0][1], WAVE / 2, rtol=1e-8)
    n_sent = len(instrument.log)
    with pytest.raises(ValueError, match=r"is \[-3.0\] at step 0, beyond full_scale 2; nothing was sent"):
        evaluator.measure(3 * WAVE)
    assert len(instrument.log) == n_sent


@needs_visa
def test_what_the_instrument_refuses_is_not_triggered(scpi, instrument):
    evaluator = scpi()
    with pytest.raises(RuntimeError, match="complains of the waveform, nothing was fired: -222"):
        evaluator.measure(6 * WAVE)
    assert instrument.fired == []
    assert evaluator.measure(WAVE).metrics
    with pytest.raises(RuntimeError, match="Undefined header"):
        scpi(setup=["BANANA"]).measure(WAVE)
    assert len(instrument.fired) == 1


@needs_visa
@pytest.mark.parametrize(
    ("mood", "error", "sentence"),
    [
        ("overload", RuntimeError, "it was fired, and .* complains: -315"),
        ("garbage", RuntimeError, "it was fired, and its reading is lost"),
        ("never done", UnknownOutcomeError, "did not say that it is done after the trigger"),
        ("hangs up", UnknownOutcomeError, "did not say that it is done after the trigger"),
    ],
)
def test_trouble_after_the_trigger_is_told_apart(scpi, instrument, mood, error, sentence):
    evaluator = scpi(timeout=0.5)
    instrument.mood = mood
    with pytest.raises(error, match=sentence):
        evaluator.measure(WAVE)
    assert len(instrument.fired) == 1


@needs_visa
@pytest.mark.parametrize("mood", ["late", "never done", "hangs up", "garbage"])
def test_what_an_instrument_answers_too_late_is_not_taken_for_the_next_answer(scpi, instrument, mood):
    evaluator = scpi(timeout=0.25)
    instrument.mood = mood
    with pytest.raises((UnknownOutcomeError, RuntimeError)):
        evaluator.measure(WAVE)
    time.sleep(0.4)  # by now a late answer has arrived
    instrument.mood = ""
    for factor in (2, 3):
        found = evaluator.measure(factor * WAVE)
        np.testing.assert_allclose(found.arrays["response"], factor * np.cumsum(WAVE), atol=1e-7)
    assert len(instrument.fired) == 3


@needs_visa
def test_an_instrument_that_is_gone_is_a_failure_that_fired_nothing_until_it_is_back(scpi, instrument):
    evaluator = scpi(timeout=0.25)
    instrument.mood = "hangs up"
    with pytest.raises(UnknownOutcomeError):
        evaluator.measure(WAVE)
    instrument.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="nothing was fired"):
            evaluator.measure(WAVE)
    assert len(instrument.fired) == 1


@needs_visa
def test_stop_and_close_bring_the_output_to_rest(scpi, instrument):
    evaluator = scpi()
    evaluator.stop()
    end = time.monotonic() + 5
    while "OUTP" not in instrument.log and time.monotonic() < end:
        time.sleep(0.01)
    assert instrument.log[-1] == "OUTP"
    evaluator.close()
    evaluator.close()


@needs_visa
def test_it_keeps_the_contract_and_runs_a_campaign(instrument, config, tmp_path):
    spec = EvaluatorSpec("scpi", {"address": instrument.address, **PARAMETERS})
    assert [check for check in check_evaluator(spec.make, WAVE, SIGNAL) if not check.is_good] == []
    assert len(instrument.fired) == 1
    chosen = EvaluatorConfig(name="scpi", parameters={"address": instrument.address, **PARAMETERS, "full_scale": 10.0})
    history = run_campaign(config().model_copy(update={"evaluator": chosen}), tmp_path / "x")
    assert history.counts() == {"completed": 6}
    assert len(instrument.fired) == 7


@needs_visa
def test_nobody_at_the_address_is_said(instrument):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(EvaluatorError, match="is it on"):
        ScpiEvaluator(f"TCPIP0::127.0.0.1::{port}::SOCKET", **PARAMETERS).prepare()


@pytest.mark.skipif(pyvisa_py is not None, reason="PyVISA is installed")
def test_without_pyvisa_the_way_to_it_is_said():
    with pytest.raises(EvaluatorError, match=r"pip install 'latentloop\[lab\]'"):
        ScpiEvaluator("TCPIP0::127.0.0.1::1::SOCKET", **PARAMETERS).prepare()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metrics": {}, "reductions": {}}, "name at least one metric"),
        ({"reductions": {"a": "median response"}}, "known are mean, max"),
        ({"reductions": {"a": "mean banana"}}, "of response"),
        ({"download": ["DATA {banana}"]}, "has a place that is not known"),
        ({"trigger": []}, "at least one command"),
        ({"full_scale": 0.0}, "full_scale must be larger than 0"),
    ],
)
def test_what_cannot_work_is_refused_at_once(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        ScpiEvaluator("X", **{**PARAMETERS, **changes})


def test_a_sample_rate_needs_even_times():
    evaluator = ScpiEvaluator("X", **PARAMETERS)
    with pytest.raises(ConfigError, match="not evenly spaced"):
        evaluator.accept_signal(Signal(np.arange(5.0) ** 2, "V", "ms", ("E",)))
