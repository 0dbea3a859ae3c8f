"""Instruments for the kill campaign: each writes down what it fires, by the experiment's key, before anything else happens to it."""

import os
import time

import numpy as np


class Shots:
    """Appends the key of every experiment to a file: an append is one system call, which a kill either lets through or not."""

    kind = "pure"

    def __init__(self, log, seconds=0.0):
        self._log, self._seconds = log, seconds

    def measure_job(self, job):
        handle = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{job.key} {os.getpid()}\n".encode())
        os.close(handle)
        time.sleep(self._seconds)
        return self.measure(job.trajectory)

    def measure(self, trajectory):
        x = np.asarray(trajectory).reshape(-1)
        return {"objective": float(np.cos(3 * x[0]) - (x[1:] ** 2).sum()), "image": np.outer(x, x)}


class PhysicalShots(Shots):
    """The same, as something real."""

    kind = "physical"
