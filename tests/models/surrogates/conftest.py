import warnings

with warnings.catch_warnings():
    # linear_operator scripts a function at import, which newer versions of PyTorch deprecate
    warnings.simplefilter("ignore", DeprecationWarning)
    import botorch  # noqa: F401
