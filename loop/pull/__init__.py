"""How an instrument fetches its next trial and posts its result: a queue on disk, its routes, a server, the instrument's client."""
