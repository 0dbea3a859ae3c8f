"""Where measurements run: in this process, in a child process that a timeout may kill, or on Ray workers."""
