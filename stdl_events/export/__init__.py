"""Export of a trained network to one self-describing file that runs without PyTorch."""
