"""What measures a trajectory: FerroSIM, or any Python function; further instruments are added as one file and one registry line."""
