"""File formats of recordings: a module per format, with a function path -> `Decoder`."""
