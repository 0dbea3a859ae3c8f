from latentloop.models.threads import set_threads

# Small problems on few cores: threads that wait for one another are many times slower than one.
set_threads(1)
