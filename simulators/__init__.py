"""What the laboratory would do: process trajectories, and the simulators that answer to them.

`trajectories` draws families of process variables over time; `ferrosim` is the ferroelectric lattice model. This package
uses NumPy and Numba only and knows nothing of models, campaigns or stores.
"""
