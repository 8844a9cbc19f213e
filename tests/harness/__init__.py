"""What the tests are written with: the real programs, the real clients, and a way to wait.

Nothing here sleeps for a fixed time or looks into a program's memory. A test that needs to know
something asks the way a person would: the command line, the API, the files that are documented.
"""
