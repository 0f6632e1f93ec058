"""Logging, files, distributed communication, events and drawing."""
