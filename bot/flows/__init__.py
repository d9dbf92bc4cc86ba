"""What Mockingbird does, a verb a file; platforms and the command line call these and nothing deeper."""
